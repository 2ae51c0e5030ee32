import type { AdminSources, Readiness } from '../../admin/app.ts'
import type { Clock } from '../../time/clock.ts'
import type { InstallerMetrics } from '../../telemetry/metrics/roles.ts'
import { createMetricsRenderer } from '../../telemetry/metrics/text.ts'
import type { Installer } from './installer.ts'

export interface InstallerAdminOptions {
  readonly installer: Installer
  /** The desired state of the plugin on this node. */
  readonly desired: 'running' | 'removed'
  /** Whether the plugin answered at the last attempt. */
  readonly pluginAnswers: () => boolean
  readonly clock: Clock
  readonly metrics: InstallerMetrics
}

/**
 * What the admin server reports about the installer. It is ready when the plugin has its desired state, so rollouts wait for
 * it.
 */
export function createInstallerAdminSources(options: InstallerAdminOptions): AdminSources {
  const { clock, metrics } = options
  return {
    isServing: () => true,
    readiness: () => readReadiness(options),
    renderMetrics: createMetricsRenderer(metrics.registry, clock, () => undefined),
  }
}

function readReadiness(options: InstallerAdminOptions): Readiness {
  const { installer, desired } = options
  const { state } = installer
  if (state.kind === 'starting') return notReady('starting', 'the first attempt has not finished')
  if (state.kind === 'failed') return notReady(state.code, state.message)
  const { socket, tokenExpiresAt } = state.outcome
  const answers = options.pluginAnswers()
  if (answers !== (desired === 'running')) {
    return answers
      ? notReady('PLUGIN_RUNNING', `the plugin still serves ${socket}`)
      : notReady(
          'PLUGIN_NOT_RUNNING',
          `nothing serves ${socket} yet; check the log of the static pod transit-bridge-kms`,
        )
  }
  const tokenEnd = tokenExpiresAt === undefined ? undefined : new Date(tokenExpiresAt).toISOString()
  return { ready: true, reason: 'ok', message: 'ok', details: { tokenExpiresAt: tokenEnd } }
}

function notReady(reason: string, message: string): Readiness {
  return { ready: false, reason, message, details: {} }
}
