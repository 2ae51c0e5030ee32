import type { AdminSources } from '../admin/app.ts'
import type { GrpcServer } from '../grpc/server.ts'
import type { Clock } from '../time/clock.ts'
import type { CsiMetrics } from '../telemetry/metrics/roles.ts'
import { setOrRemove } from '../telemetry/metrics/definition.ts'
import { createMetricsRenderer } from '../telemetry/metrics/text.ts'
import type { CsiProvider } from './provider.ts'
import type { RuntimeDriver } from './runtime/driver.ts'

export interface CsiAdminOptions {
  readonly server: Pick<GrpcServer, 'isServing'>
  readonly provider: Pick<CsiProvider, 'ledger' | 'sessions' | 'callsInFlight'>
  /** Undefined if csi.runtime is off. */
  readonly runtime?: Pick<RuntimeDriver, 'isServing' | 'volumes' | 'requestsInFlight'> | undefined
  readonly clock: Clock
  readonly metrics: CsiMetrics
}

/** Health and metrics of the CSI provider. It is ready whenever it serves: a restart does not fix an outage of Vault. */
export function createCsiAdminSources(options: CsiAdminOptions): AdminSources {
  const { clock, metrics, provider } = options
  return {
    isServing: () => options.server.isServing && options.runtime?.isServing !== false,
    readiness: () => {
      const { volumes, failing, oldestMs } = provider.ledger.summary()
      const details = {
        volumes,
        volumesFailing: sum(failing.values()),
        oldestContentAgeSeconds: oldestMs === undefined ? undefined : oldestMs / 1000,
        sessions: provider.sessions.size,
        runtimeVolumes: options.runtime?.volumes.size,
      }
      return { ready: true, reason: 'ok', message: 'ok', details }
    },
    renderMetrics: createMetricsRenderer(metrics.registry, clock, () => updateGauges(options)),
  }
}

/** Sets the gauges that change without an event, at each scrape. */
function updateGauges({ provider, runtime, clock, metrics }: CsiAdminOptions): void {
  metrics.csiMountsInFlight.set(provider.callsInFlight)
  setOrRemove(metrics.csiRuntimeRequestsInFlight, runtime?.requestsInFlight)
  setOrRemove(metrics.csiRuntimeVolumes, runtime?.volumes.size)
  setOrRemove(metrics.csiRuntimeVolumesWaiting, runtime?.volumes.sizeWithoutToken)
  const { volumes, failing, oldestMs } = provider.ledger.summary()
  metrics.csiVolumes.set(volumes)
  metrics.csiVolumesFailing.reset()
  for (const [reason, count] of failing) metrics.csiVolumesFailing.set({ reason }, count)
  setOrRemove(
    metrics.csiOldestContentTime,
    oldestMs === undefined ? undefined : (clock.now() - oldestMs) / 1000,
  )
}

function sum(counts: Iterable<number>): number {
  return [...counts].reduce((total, count) => total + count, 0)
}
