import { systemClock } from '../time/clock.ts'
import { loadConfig } from '../config/load.ts'
import { requireSection } from '../config/section.ts'
import { examine } from '../doctor/examine.ts'
import { formatFindings, ok, type Finding } from '../doctor/finding.ts'
import { checkPathRights } from '../doctor/path-rights.ts'
import { defineCommand, type CommandValues } from './cli/command.ts'
import { durationOr, flag, list, requiredText, text, textOr } from './cli/option.ts'
import { quietTelemetry } from './cli/quiet-telemetry.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'
import { createVaultAccess } from './cli/vault-access.ts'

const MANIFEST = '/etc/kubernetes/manifests/kube-apiserver.yaml'
/** Time to revoke its own Vault token. */
const REVOKE_TIME_MS = 1_000

const options = {
  config: requiredText('FILE', "The plugin's configuration."),
  survive: durationOr(
    '72h',
    'The longest outage of the control plane after which the token must still be valid.',
  ),
  manifest: textOr('FILE', MANIFEST, 'Static pod manifest of kube-apiserver.'),
  encryptionConfig: text('FILE', 'EncryptionConfiguration. Default: what the manifest names.'),
  peers: list(
    'LIST',
    'Admin addresses (host:port) of the other nodes, separated by commas, to check that all announce the same key.',
  ),
  json: flag('Print one JSON object: ok, findings.'),
}

export const doctorCommand = defineCommand({
  name: 'doctor',
  usage: [
    '--config FILE [--survive DURATION] [--json] [--manifest FILE] [--encryption-config FILE] [--peers LIST]',
  ],
  description: `
Check this control-plane node. Reports line by line what works and what to fix:

    fail     token lifetime: ends in 50 min; it must last 72h ...; ...

It changes nothing.`,
  options,
  exitCodes: '0 no problems found, 1 a line says fail, 2 wrong usage or configuration.',
  examples: ['$ transit-bridge doctor --config /etc/transit-bridge/config.yaml'],
  run: runDoctor,
})

/** Reports what works on this node and what to fix; returns EXIT_FAILED if something must be fixed. */
async function runDoctor(
  values: CommandValues<typeof options>,
  terminal: Terminal,
): Promise<number> {
  const { config: file, survive: surviveMs } = values
  const config = await loadConfig(file, terminal.environment)
  requireSection(config, 'kms')
  const clock = systemClock
  const { client, session } = createVaultAccess({
    config: config.vault,
    ...quietTelemetry(),
  })
  try {
    const findings = await examine({
      config,
      session,
      clock,
      surviveMs,
      manifest: values.manifest,
      encryptionConfig: values.encryptionConfig,
      peers: values.peers ?? [],
    })
    const rights = await checkPathRights('configuration', file)
    const all = [ok('configuration', file), ...rights, ...findings]
    return reportFindings(all, values.json, terminal)
  } finally {
    await session.stop({ deadline: clock.monotonic() + REVOKE_TIME_MS })
    await client.close()
  }
}

function reportFindings(findings: readonly Finding[], json: boolean, terminal: Terminal): number {
  const healthy = findings.every(({ level }) => level !== 'fail')
  print(
    terminal,
    json ? JSON.stringify({ ok: healthy, findings }, null, 2) : formatFindings(findings),
  )
  return healthy ? EXIT_OK : EXIT_FAILED
}
