import type { Config } from '../config/config.ts'
import { requireSection } from '../config/section.ts'
import { startGrpcServer } from '../grpc/server.ts'
import { createKmsPlugin } from '../kms/plugin.ts'
import { logKey } from '../telemetry/log.ts'
import { version } from '../version.ts'
import { startAdmin } from './cli/admin.ts'
import { endOnUncaughtFault, waitForStopSignal } from './cli/process-end.ts'
import { createTelemetry, type Telemetry } from './cli/telemetry.ts'
import { EXIT_OK } from './cli/terminal.ts'
import { createVaultAccess } from './cli/vault-access.ts'

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
  const { clock, log, metrics } = telemetry
  endOnUncaughtFault(log)
  const { client, session } = createVaultAccess({ config: config.vault, ...telemetry })
  const drill = await createDrill(config, telemetry)
  const plugin = createKmsPlugin({
    kms,
    transit: config.transit,
    vault: drill?.wrap(session) ?? session,
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
  const admin = await startAdmin(config, telemetry, async () => {
    const { createKmsAdminSources } = await import('../kms/admin-sources.ts')
    const sources = createKmsAdminSources({ plugin, session, clock, metrics })
    return drill === undefined ? sources : { ...sources, drill }
  })

  await stopSignal
  plugin.watch.stop()
  await server.stop(STOP_GRACE)
  await session.stop({ deadline: clock.monotonic() + REVOKE_TIME })
  await Promise.all([client.close(), admin?.stop()])
  log.info('stopped')
  return EXIT_OK
}

/** Loaded only where a rehearsal is allowed. */
async function createDrill(config: Config, { clock, log }: Telemetry) {
  const { drill } = config.admin
  if (drill === undefined) return undefined
  const { DrillSwitch } = await import('../admin/drill-switch.ts')
  return new DrillSwitch({ config: drill, clock, log })
}
