import { Plugin } from '../real/program/plugin.ts'
import { KmsVault, type KmsVaultOptions } from '../real/vault/kms-vault.ts'
import type { Expected, Place, Requests } from './fault.ts'
import { KmsSubject, type KmsPlace } from './kms-subject.ts'
import { Lab } from './lab.ts'
import type { Stage } from './stage.ts'
import type { Subject } from './subject.ts'

export interface KmsLabOptions {
  readonly place: Place
  readonly requests: Requests
  /** What is called. */
  readonly call: KmsPlace
  /** Lifetime of Vault tokens. */
  readonly ttl?: string
  readonly bringAbout?: (subject: Subject, cell: Expected) => Promise<void>
}

/** Cells of the KMS plugin. It checks its key each second, and Status shows an outage at once. */
export function createKmsLab({ call, ttl, ...options }: KmsLabOptions): Lab<KmsVault> {
  const vaultOptions: KmsVaultOptions = ttl === undefined ? {} : { ttl }
  return new Lab({
    ...options,
    startVault: (tls) =>
      KmsVault.start(tls === undefined ? vaultOptions : { ...vaultOptions, tls }),
    start: async (stage, vault) => {
      const subject = new KmsSubject(await launch(stage, vault), call)
      if (options.place !== 'start') await subject.prepare()
      return subject
    },
  })
}

async function launch(stage: Stage, vault: KmsVault): Promise<Plugin> {
  const kms = { refreshInterval: '1s', outageGrace: '0s' }
  const document = vault.configuration(stage.bao.address, kms)
  const section = { ...document.vault, ...stage.vaultSection }
  const plugin = await Plugin.launch({ ...document, vault: section }, stage.wrap)
  await plugin.waitForSocket()
  return plugin
}
