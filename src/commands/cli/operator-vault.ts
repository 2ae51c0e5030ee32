import { systemClock } from '../../time/clock.ts'
import { KeyVersions } from '../../storage/key-versions.ts'
import type { Config, KmsConfig } from '../../config/config.ts'
import { loadConfig } from '../../config/load.ts'
import { requireSection } from '../../config/section.ts'
import { findAdminToken } from '../../operator/token.ts'
import { KeyAdmin, type AdministeredKey } from '../../operator/key-admin.ts'
import { VaultSettings } from '../../operator/vault-settings.ts'
import { createLogger } from '../../telemetry/log.ts'
import { createMetrics } from '../../telemetry/metrics.ts'
import { version } from '../../version.ts'
import { textValue } from './cluster-options.ts'
import { requireValue, type OptionValues } from './command.ts'
import type { Terminal } from './terminal.ts'
import { createClient } from './vault-access.ts'

/** The key of a cluster, as an operator sees it. */
export interface OperatorVault {
  readonly config: Config
  readonly kms: KmsConfig
  readonly key: KeyAdmin
  versionsOf(key: AdministeredKey): KeyVersions
  close(): Promise<void>
}

/** Under the operator's own token; where Vault and the key are is what the plugin's configuration (--config) says. */
export async function openOperatorVault(
  values: OptionValues,
  { environment }: Pick<Terminal, 'environment'>,
): Promise<OperatorVault> {
  const config = await loadConfig(requireValue(values, 'config'), environment)
  const kms = requireSection(config, 'kms')
  const token = await findAdminToken(textValue(values, 'token-file'), environment)
  const client = createClient({
    config: config.vault,
    clock: systemClock,
    log: createLogger('silent'),
    metrics: createMetrics(version),
  })
  const vault = new VaultSettings({ client, token, clock: systemClock })
  return {
    config,
    kms,
    key: new KeyAdmin(vault, config.transit),
    versionsOf: (key) => new KeyVersions(key, kms.clusterId, kms.alsoDecryptClusters),
    close: () => client.close(),
  }
}
