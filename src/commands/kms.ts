import { systemClock, type Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import { requireSection } from '../config/section.ts'
import { startGrpcServer } from '../grpc/server.ts'
import { createKmsPlugin, type KmsPlugin } from '../kms/plugin.ts'
import { createLogger, logKey, type Logger } from '../telemetry/log.ts'
import { createMetrics, type Metrics } from '../telemetry/metrics.ts'
import type { VaultSession } from '../vault/session.ts'
import { version } from '../version.ts'
import { endOnUncaughtFault, waitForStopSignal } from './process-end.ts'
import { EXIT_OK } from './terminal.ts'
import { createVaultAccess } from './vault-access.ts'

/** Calls in flight at the end get this long (milliseconds); kubelet and systemd wait far longer. */
const STOP_GRACE = 3_000
/** Time to revoke the own token at the end (milliseconds). */
const REVOKE_TIME = 1_000

/**
 * Serves the KMS plugin until SIGTERM or SIGINT; gives the exit code. Throws SOCKET_* if the socket cannot
 * be had. Vault is not waited for (design §2.7).
 */
export async function runKms(config: Config): Promise<number> {
  const kms = requireSection(config, 'kms')
  const telemetry = createTelemetry(config)
  const { clock, log } = telemetry
  endOnUncaughtFault(log)
  const { client, session } = createVaultAccess({ config: config.vault, ...telemetry })
  const plugin = createKmsPlugin({
    kms,
    transit: config.transit,
    vault: session,
    programVersion: version,
    ...telemetry,
  })
  const stopSignal = waitForStopSignal(log)
  const server = await startGrpcServer({
    socket: kms.socket,
    access: {
      mode: kms.socketMode,
      ...(kms.socketGroup === undefined ? {} : { group: kms.socketGroup }),
    },
    services: plugin.services,
  })
  log.info({ [logKey.socket]: kms.socket }, `transit-bridge ${version} serves KMS`)
  session.start()
  plugin.watch.start()
  const admin = await startAdmin(config, plugin, session, telemetry)

  await stopSignal
  plugin.watch.stop()
  await server.stop(STOP_GRACE)
  await session.stop({ deadline: clock.monotonic() + REVOKE_TIME })
  await Promise.all([client.close(), admin?.stop()])
  log.info('stopped')
  return EXIT_OK
}

interface Telemetry {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

function createTelemetry(config: Config): Telemetry {
  const log = createLogger(config.log.level)
  return { clock: systemClock, log, metrics: createMetrics(version) }
}

/** Loaded after the socket is served: express takes longer to load than all the rest. */
async function startAdmin(
  config: Config,
  plugin: KmsPlugin,
  session: VaultSession,
  { clock, log, metrics }: Telemetry,
) {
  const { listen } = config.admin
  if (listen === undefined) return undefined
  const [{ startAdminServer }, { createKmsAdminSources }] = await Promise.all([
    import('../admin/server.ts'),
    import('../kms/admin-sources.ts'),
  ])
  const sources = createKmsAdminSources({ plugin, session, clock, metrics })
  return startAdminServer({ listen, sources, clock, log })
}
