import { randomUUID } from 'node:crypto'

import type { KmsConfig, TransitConfig } from '../../config/config.ts'
import { loadConfig } from '../../config/load.ts'
import { requireSection } from '../../config/section.ts'
import { SourceReader } from '../../storage/source-reader.ts'
import { systemClock } from '../../time/clock.ts'
import { Transit } from '../../transit/transit.ts'
import { quietTelemetry } from './quiet-telemetry.ts'
import type { Terminal } from './terminal.ts'
import { createVaultAccess } from './vault-access.ts'

/** Time at the end to revoke its own Vault token. */
const REVOKE_TIME_MS = 1_000

export interface SourceAccess {
  readonly reader: SourceReader
  readonly kms: KmsConfig
  readonly place: TransitConfig
  readonly acceptVaultKubernetesKms: boolean
  /** Identifies this run in Vault's audit log. */
  readonly uid: string
  close(): Promise<void>
}

/** A session of the plugin's own identity, whose key has been read. */
export async function openSourceReader(
  file: string,
  purpose: string,
  { environment }: Pick<Terminal, 'environment'>,
): Promise<SourceAccess> {
  const config = await loadConfig(file, environment)
  const kms = requireSection(config, 'kms')
  const { client, session } = createVaultAccess({ config: config.vault, ...quietTelemetry() })
  const close = async () => {
    await session.stop({ deadline: systemClock.monotonic() + REVOKE_TIME_MS })
    await client.close()
  }
  const uid = `${purpose}-${randomUUID()}`
  const transit = new Transit({ vault: session, mount: config.transit.mount })
  const place = config.transit
  const reader = new SourceReader({ transit, place, clusters: kms, clock: systemClock, uid })
  try {
    await reader.readKey()
  } catch (error) {
    await close()
    throw error
  }
  const acceptVaultKubernetesKms = kms.acceptFrom.includes('vault-kubernetes-kms')
  return { reader, kms, place, acceptVaultKubernetesKms, uid, close }
}
