import type { AdminSources, Readiness } from '../../admin/app.ts'
import type { Clock } from '../../time/clock.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import { createMetricsRenderer } from '../../telemetry/metrics-text.ts'
import type { Installer } from './installer.ts'

export interface InstallerAdminOptions {
  readonly installer: Installer
  /** Whether the plugin shall run here once all is done, or shall not. */
  readonly wanted: 'running' | 'gone'
  /** Whether it accepts connections, as was last seen. */
  readonly pluginAccepts: () => boolean
  readonly clock: Clock
  readonly metrics: Metrics
}

/** What the admin server shows of the installer. It is ready when the plugin is where it shall be: roll-outs wait for that. */
export function createInstallerAdminSources(options: InstallerAdminOptions): AdminSources {
  const { clock, metrics } = options
  return {
    isServing: () => true,
    readiness: () => readReadiness(options),
    renderMetrics: createMetricsRenderer(metrics.registry, clock, () => undefined),
    metricsContentType: metrics.registry.contentType,
  }
}

function readReadiness(options: InstallerAdminOptions): Readiness {
  const { installer, wanted } = options
  const { state } = installer
  if (state.kind === 'starting') return notReady('starting', 'nothing is done yet')
  if (state.kind === 'failed') return notReady(state.code, state.message)
  const { socket, tokenExpiresAt } = state.outcome
  const accepts = options.pluginAccepts()
  if (accepts !== (wanted === 'running')) {
    const message = accepts
      ? `the plugin still serves ${socket}`
      : `nothing serves ${socket} yet; see the log of the static pod transit-bridge-kms`
    return notReady('PLUGIN_NOT_AS_WANTED', message)
  }
  const details =
    tokenExpiresAt === undefined ? {} : { tokenExpiresAt: new Date(tokenExpiresAt).toISOString() }
  return { ready: true, reason: 'ok', message: 'ok', details }
}

function notReady(reason: string, message: string): Readiness {
  return { ready: false, reason, message, details: {} }
}
