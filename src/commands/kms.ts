import type { Config } from '../config/config.ts'
import { keyPath } from '../config/key-path.ts'
import { findFileNeeds } from '../config/file-needs.ts'
import { loadConfig } from '../config/load.ts'
import { requireSection } from '../config/section.ts'
import { startGrpcServer } from '../grpc/server.ts'
import { createKmsPlugin, type KmsPlugin } from '../kms/plugin.ts'
import { logKey } from '../telemetry/log.ts'
import { createKmsMetrics } from '../telemetry/metrics/roles.ts'
import { version } from '../version.ts'
import { startAdmin } from './cli/admin.ts'
import { defineCommand } from './cli/command.ts'
import { requiredText } from './cli/option.ts'
import { reportFileRights, restrictFiles } from './cli/process/file-rights.ts'
import { handleShutdown } from './cli/process/shutdown.ts'
import { createTelemetry, type Telemetry } from './cli/telemetry.ts'
import { EXIT_OK } from './cli/terminal.ts'
import { createVaultAccess } from './cli/vault-access.ts'

/** Time at the end for calls in flight. */
const STOP_GRACE_MS = 3_000
/** Time at the end to revoke the Vault token. */
const REVOKE_TIMEOUT_MS = 1_000

export const kmsCommand = defineCommand({
  name: 'kms',
  usage: ['--config FILE'],
  description: `
Serve the KMS v2 plugin on a unix socket, until SIGTERM or SIGINT.

It starts whether or not Vault answers; until Vault does, Status reports the
reason. The program ends only if the configuration is invalid (code 2), or if
it cannot create its socket (code 1).`,
  options: {
    config: requiredText('FILE', 'The configuration, in YAML. It needs the section kms.'),
  },
  exitCodes: '0 stopped as requested, 1 failed, 2 wrong usage or configuration.',
  examples: ['$ transit-bridge kms --config /etc/transit-bridge/config.yaml'],
  run: async ({ config }, { environment }) => runKms(await loadConfig(config, environment)),
})

/**
 * Serves the KMS plugin until a signal stops it, and then ends the process. Throws SOCKET_* if it cannot serve the
 * socket. It does not wait for Vault (docs/design.md, "Start and stop").
 */
async function runKms(config: Config): Promise<never> {
  const kms = requireSection(config, 'kms')
  const telemetry = createTelemetry(config.log.level, createKmsMetrics)
  const { clock, log, metrics } = telemetry
  const shutdown = handleShutdown(log, telemetry.logSink)
  const { client, session } = createVaultAccess({
    config: config.vault,
    ...telemetry,
    recognize: (vault, context) => plugin.recognizes(vault, context),
  })
  const drill = await createDrill(config, telemetry)
  const plugin: KmsPlugin = createKmsPlugin({
    kms,
    transit: config.transit,
    keyPath: keyPath(config),
    vault: drill?.wrap(session) ?? session,
    onProven: (context) => client.prove(context),
    proveOthers: (proven, context) => client.proveOthers(proven, context),
    programVersion: version,
    ...telemetry,
    log: log.child({ [logKey.key]: keyPath(config) }),
  })
  await plugin.restore()
  const server = await startGrpcServer({
    socket: kms.socket,
    access: { mode: kms.socketMode, group: kms.socketGroup },
    services: plugin.services,
    clock,
    log,
  })
  reportFileRights(restrictFiles(findFileNeeds(config, 'kms')), log)
  log.info({ [logKey.socket]: kms.socket }, `transit-bridge ${version} serves KMS`)
  session.start()
  plugin.watch.start()
  const admin = await startAdmin(config, telemetry, async () => {
    const { createKmsAdminSources } = await import('../kms/admin-sources.ts')
    const sources = createKmsAdminSources({ server, plugin, session, clock, metrics })
    return drill === undefined ? sources : { ...sources, drill }
  })

  await shutdown.requested
  await plugin.stop(server.stop(STOP_GRACE_MS))
  await session.stop({ deadline: clock.monotonic() + REVOKE_TIMEOUT_MS })
  await Promise.all([client.close(), admin?.stop()])
  log.info('stopped')
  return shutdown.exit(EXIT_OK)
}

/** Loaded only if drills are allowed. */
async function createDrill(config: Config, { clock, log }: Telemetry) {
  const { drill } = config.admin
  if (drill === undefined) return undefined
  const { DrillSwitch } = await import('../admin/drill-switch.ts')
  return new DrillSwitch({ config: drill, clock, log })
}
