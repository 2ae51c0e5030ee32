import { Registry, collectDefaultMetrics } from 'prom-client'
import { csiMetrics } from './csi.ts'
import { registerMetrics, type Definition, type RegisteredMetrics } from './definition.ts'
import { kmsMetrics } from './kms.ts'
import { identityMetrics, programMetrics } from './program.ts'
import { vaultMetrics } from './vault.ts'

/** The metrics of each server. A process exports only its own: a CSI provider has no health of a KMS plugin. */
export const metricsByRole = {
  kms: { ...kmsMetrics, ...vaultMetrics, ...identityMetrics, ...programMetrics },
  csi: { ...csiMetrics, ...vaultMetrics, ...programMetrics },
  installer: { ...identityMetrics, ...programMetrics },
} as const

export type MetricsOf<Definitions> = RegisteredMetrics<Definitions> & {
  readonly registry: Registry
}
export type ProgramMetrics = RegisteredMetrics<typeof programMetrics>
export type IdentityMetrics = RegisteredMetrics<typeof identityMetrics>
export type VaultMetrics = RegisteredMetrics<typeof vaultMetrics>
export type KmsMetrics = MetricsOf<(typeof metricsByRole)['kms']>
export type CsiMetrics = MetricsOf<(typeof metricsByRole)['csi']>
export type InstallerMetrics = MetricsOf<(typeof metricsByRole)['installer']>

export const createKmsMetrics = (version: string): KmsMetrics => create(metricsByRole.kms, version)
export const createCsiMetrics = (version: string): CsiMetrics => create(metricsByRole.csi, version)
export const createInstallerMetrics = (version: string): InstallerMetrics =>
  create(metricsByRole.installer, version)

/** Gauges with a name that only a counter may have; `nodejs_active_resources` has the same facts by type. */
const MISNAMED = ['handles', 'requests', 'resources'].map((name) => `nodejs_active_${name}_total`)

function create<
  const Definitions extends typeof programMetrics & Readonly<Record<string, Definition>>,
>(definitions: Definitions, version: string): MetricsOf<Definitions> {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const name of MISNAMED) registry.removeSingleMetric(name)
  const metrics = registerMetrics(definitions, registry)
  const { buildInfo } = metrics as ProgramMetrics
  buildInfo.set({ version, node: process.versions.node }, 1)
  return { registry, ...metrics }
}
