import { systemClock } from '../../time/clock.ts'
import { KeyVersions } from '../../storage/key-versions.ts'
import type { Config, KmsConfig } from '../../config/config.ts'
import { loadConfig } from '../../config/load.ts'
import { requireSection } from '../../config/section.ts'
import { findOperatorToken } from '../../operator/token.ts'
import { KeyAdmin, type AdministeredKey } from '../../operator/key-admin.ts'
import { VaultSettings } from '../../operator/vault-settings.ts'
import { grouped, text } from './option.ts'
import { quietTelemetry } from './quiet-telemetry.ts'
import type { Terminal } from './terminal.ts'
import { createClient } from './vault-access.ts'

/** The token that a command uses in Vault. */
export const operatorOptions = grouped('Vault options', {
  tokenFile: text(
    'FILE',
    'File with the operator token. Default: $VAULT_TOKEN, $BAO_TOKEN, or ~/.vault-token.',
  ),
})

/** The key of a cluster, as an operator sees it. */
export interface OperatorVault {
  readonly config: Config
  readonly kms: KmsConfig
  readonly key: KeyAdmin
  versionsOf(key: AdministeredKey): KeyVersions
  close(): Promise<void>
}

export interface OperatorVaultOptions {
  /** The plugin's configuration, which says where Vault and the key are. */
  readonly config: string
  readonly tokenFile: string | undefined
}

/** Connects to Vault with the operator token. */
export async function openOperatorVault(
  { config: file, tokenFile }: OperatorVaultOptions,
  { environment }: Pick<Terminal, 'environment'>,
): Promise<OperatorVault> {
  const config = await loadConfig(file, environment)
  const kms = requireSection(config, 'kms')
  const token = await findOperatorToken(tokenFile, environment)
  const client = createClient({ config: config.vault, ...quietTelemetry() })
  const vault = new VaultSettings({ client, token, clock: systemClock })
  return {
    config,
    kms,
    key: new KeyAdmin(vault, config.transit),
    versionsOf: (key) => new KeyVersions(key, kms.clusterId, kms.alsoDecryptClusters),
    close: () => client.close(),
  }
}
