import { startAdminServer } from '../../admin/server.ts'
import type { ListenAddress } from '../../config/config.ts'
import { createInstallerAdminSources } from '../../node/install/installer-admin.ts'
import { createInstaller } from '../../node/install/installer.ts'
import {
  hostPath,
  type installOnNode,
  type NodeInstallOptions,
} from '../../node/install/node-install.ts'
import { startPluginProbe } from '../../node/install/plugin-probe.ts'
import { watchSources } from '../../node/install/source-watch.ts'
import { createInstallerMetrics } from '../../telemetry/metrics/roles.ts'
import { version } from '../../version.ts'
import { handleShutdown } from '../cli/process/shutdown.ts'
import { createTelemetry } from '../cli/telemetry.ts'
import { EXIT_OK } from '../cli/terminal.ts'

/** What to keep, and how. */
export interface NodeKeeping {
  readonly options: NodeInstallOptions
  readonly act: typeof installOnNode
  readonly verb: 'written' | 'removed'
  readonly intervalMs: number
  readonly listen: ListenAddress
}

/** Keeps the host in its desired state until a signal stops it. */
export async function keepNode(keeping: NodeKeeping): Promise<never> {
  const { options, act, verb, intervalMs, listen } = keeping
  const { clock } = options
  const { log, metrics, logSink } = createTelemetry('info', createInstallerMetrics)
  const shutdown = handleShutdown(log, logSink)
  // The timers of the clock do not keep the process alive.
  const alive = setInterval(() => undefined, 60_000)
  const installer = createInstaller({
    act: () => act(options),
    verb,
    intervalMs,
    clock,
    log,
    metrics,
  })
  const unwatch = watchSources(sourcesOf(options), () => void installer.act())
  await installer.start()
  const socket = async () =>
    installer.state.kind === 'done' ? hostPath(options, installer.state.outcome.socket) : undefined
  const probe = startPluginProbe(socket, clock)
  const desired = verb === 'written' ? ('running' as const) : ('removed' as const)
  const pluginAnswers = () => probe.answers
  const sources = createInstallerAdminSources({ installer, desired, pluginAnswers, clock, metrics })
  const admin = startAdminServer({ listen, sources, clock, log })
  log.info(`transit-bridge ${version} maintains the files of this node; they remain when it stops`)

  await shutdown.requested
  unwatch()
  probe.stop()
  await Promise.all([installer.stop(), admin.stop()])
  clearInterval(alive)
  log.info('stopped')
  return shutdown.exit(EXIT_OK)
}

function sourcesOf({
  configSource,
  tokenSource,
  caSource,
  patchSource,
}: NodeInstallOptions): string[] {
  return [configSource, tokenSource, caSource, patchSource].filter((file) => file !== undefined)
}
