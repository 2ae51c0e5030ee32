import type { CsiConfig, ProviderConfig } from '../config/config.ts'
import { loadProviderConfig } from '../config/load.ts'
import { findFileNeeds } from '../config/file-needs.ts'
import { requireSection } from '../config/section.ts'
import { createCsiProvider, type CsiProvider } from '../csi/provider.ts'
import { watchRefusedStreams } from '../csi/refused-streams.ts'
import { startGrpcServer } from '../grpc/server.ts'
import { logKey } from '../telemetry/log.ts'
import { createCsiMetrics, type CsiMetrics } from '../telemetry/metrics/roles.ts'
import { version } from '../version.ts'
import { startAdmin } from './cli/admin.ts'
import { defineCommand } from './cli/command.ts'
import { requiredText } from './cli/option.ts'
import { reportFileRights, restrictFiles } from './cli/process/file-rights.ts'
import { handleShutdown } from './cli/process/shutdown.ts'
import { createTelemetry, type Telemetry } from './cli/telemetry.ts'
import { EXIT_OK } from './cli/terminal.ts'
import { createClient } from './cli/vault-access.ts'

/** Time at the end for Mounts in flight; the kubelet repeats a failed one. */
const STOP_GRACE_MS = 3_000
/** Time at the end to revoke the pods' Vault tokens. */
const REVOKE_TIMEOUT_MS = 3_000
/** The driver calls as root; no other user needs access. */
const SOCKET_MODE = 0o600
/**
 * The provider itself refuses a request of more than 4 MiB, because gRPC would answer RESOURCE_EXHAUSTED
 * (docs/design.md, "CSI errors").
 */
const MAX_INCOMPLETE_BYTES = 64 * 1024 * 1024
/** All Mounts share the connection of the driver: a large class must not delay the small requests behind it. */
const CONNECTION_WINDOW_BYTES = 8 * 1024 * 1024
/** On a busy node, requests arrive slowly. If a Mount times out before it is read, its event shows no reason. */
const REQUEST_TIMEOUT_MS = 30_000

export const csiCommand = defineCommand({
  name: 'csi',
  usage: ['--config FILE'],
  description: `
Serve the provider for the Secrets Store CSI driver (1.6.0 or newer) on a unix
socket, until SIGTERM or SIGINT. It provides public keys, JWKS, certificates, data keys and
decrypted values from Transit as files to pods, under each pod's own identity. With
csi.runtime, it also serves a CSI driver whose volumes contain a unix socket, through
which pods use Transit.

It starts whether or not Vault answers. The program ends only if the configuration
is invalid (code 2), or if it cannot create its socket (code 1).`,
  options: {
    config: requiredText('FILE', 'The configuration, in YAML. It needs the section csi.'),
  },
  exitCodes: '0 stopped as requested, 1 failed, 2 wrong usage or configuration.',
  examples: ['$ transit-bridge csi --config /etc/transit-bridge/config.yaml'],
  run: async ({ config }, { environment }) => runCsi(await loadProviderConfig(config, environment)),
})

/**
 * Serves the CSI provider until a signal stops it, and then ends the process. Throws SOCKET_* if it cannot serve
 * the socket. It does not wait for Vault: before the first Mount there is nothing to request.
 */
async function runCsi(config: ProviderConfig): Promise<never> {
  const csi = requireSection(config, 'csi')
  const telemetry = createTelemetry(config.log.level, createCsiMetrics)
  const { clock, log, metrics } = telemetry
  const shutdown = handleShutdown(log, telemetry.logSink)
  const client = createClient({ config: config.vault, ...telemetry })
  const { transit } = config
  const provider = createCsiProvider({
    csi,
    transit,
    vaultNamespace: config.vault.namespace,
    client,
    programVersion: version,
    ...telemetry,
  })
  const onRefused = (streams: number) => metrics.csiStreamsRefused.inc(streams)
  const stopWatching = watchRefusedStreams({ clock, log, onRefused })
  const server = await startGrpcServer({
    socket: csi.socket,
    access: { mode: SOCKET_MODE },
    services: provider.services,
    maxRequestBytes: MAX_INCOMPLETE_BYTES,
    limits: {
      maxIncompleteBytes: MAX_INCOMPLETE_BYTES,
      connectionWindowBytes: CONNECTION_WINDOW_BYTES,
      requestTimeoutMs: REQUEST_TIMEOUT_MS,
    },
    clock,
    log,
  })
  reportFileRights(restrictFiles(findFileNeeds(config, 'csi')), log)
  log.info({ [logKey.socket]: csi.socket }, `transit-bridge ${version} serves CSI`)
  const runtime = await startRuntime(csi, provider, telemetry)
  if (csi.runtime !== undefined) {
    const { driverName, socket } = csi.runtime
    log.info({ [logKey.socket]: socket }, `serves the run-time sockets of CSI driver ${driverName}`)
  }
  const admin = await startAdmin(config, telemetry, async () => {
    const { createCsiAdminSources } = await import('../csi/admin-sources.ts')
    return createCsiAdminSources({ server, provider, runtime, clock, metrics })
  })

  await shutdown.requested
  await Promise.all([server.stop(STOP_GRACE_MS), runtime?.stop()])
  stopWatching()
  await provider.stop({ deadline: clock.monotonic() + REVOKE_TIMEOUT_MS })
  await Promise.all([client.close(), admin?.stop()])
  log.info('stopped')
  return shutdown.exit(EXIT_OK)
}

/** Loaded only where it is configured: most nodes need no HTTP server for pods. */
async function startRuntime(
  { runtime, audience }: CsiConfig,
  { sessions, rules, home }: CsiProvider,
  telemetry: Telemetry<CsiMetrics>,
) {
  if (runtime === undefined) return undefined
  const { startRuntimeDriver } = await import('../csi/runtime/driver.ts')
  return startRuntimeDriver({
    audience,
    runtime,
    sessions,
    rules,
    home,
    programVersion: version,
    ...telemetry,
  })
}
