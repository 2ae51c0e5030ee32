import type { ProviderConfig } from '../config/config.ts'
import { requireSection } from '../config/section.ts'
import { createCsiProvider } from '../csi/provider.ts'
import { watchRefusedStreams } from '../csi/refused-streams.ts'
import { startGrpcServer } from '../grpc/server.ts'
import { logKey } from '../telemetry/log.ts'
import { version } from '../version.ts'
import { startAdmin } from './cli/admin.ts'
import { endOnUncaughtFault, waitForStopSignal } from './cli/process-end.ts'
import { createTelemetry } from './cli/telemetry.ts'
import { EXIT_OK } from './cli/terminal.ts'
import { createClient } from './cli/vault-access.ts'

/** Mounts in flight at the end get this long (milliseconds); what fails is tried again by kubelet. */
const STOP_GRACE = 3_000
/** Time to revoke the pods' Vault tokens at the end (milliseconds). */
const REVOKE_TIME = 3_000
/** The driver calls as root, so nobody else has to get in. */
const SOCKET_MODE = 0o600
/** A class may have 256 KiB of objects, which JSON writes longer, and comes with the tokens of the pod twice. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024

/**
 * Serves the CSI provider until SIGTERM or SIGINT; gives the exit code. Throws SOCKET_* if the socket cannot be
 * had. Vault is not waited for: until a pod comes there is nothing to ask it.
 */
export async function runCsi(config: ProviderConfig): Promise<number> {
  const csi = requireSection(config, 'csi')
  const telemetry = createTelemetry(config)
  const { clock, log, metrics } = telemetry
  endOnUncaughtFault(log)
  const client = createClient({ config: config.vault, ...telemetry })
  const { transit } = config
  const provider = createCsiProvider({
    csi,
    transit,
    client,
    programVersion: version,
    ...telemetry,
  })
  const stopSignal = waitForStopSignal(log)
  const onRefused = (streams: number) => metrics.csiStreamsRefused.inc(streams)
  const stopWatching = watchRefusedStreams({ clock, log, onRefused })
  const server = await startGrpcServer({
    socket: csi.socket,
    access: { mode: SOCKET_MODE },
    services: provider.services,
    maxRequestBytes: MAX_REQUEST_BYTES,
  })
  log.info({ [logKey.socket]: csi.socket }, `transit-bridge ${version} serves CSI`)
  const admin = await startAdmin(config, telemetry, async () => {
    const { createCsiAdminSources } = await import('../csi/admin-sources.ts')
    return createCsiAdminSources({ provider, clock, metrics })
  })

  await stopSignal
  await server.stop(STOP_GRACE)
  stopWatching()
  await provider.stop({ deadline: clock.monotonic() + REVOKE_TIME })
  await Promise.all([client.close(), admin?.stop()])
  log.info('stopped')
  return EXIT_OK
}
