import { systemClock } from '../time/clock.ts'
import { loadConfig } from '../config/load.ts'
import { requireSection } from '../config/section.ts'
import { examine } from '../doctor/examine.ts'
import { findUnchecked, formatFindings, ok, type Finding } from '../doctor/finding.ts'
import { checkManifestChoice, findManifest } from '../doctor/manifest-path.ts'
import { defineCommand, type CommandValues } from './cli/command.ts'
import { durationOr, flag, list, requiredText, text } from './cli/option.ts'
import { quietTelemetry } from './cli/quiet-telemetry.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'
import { createVaultAccess } from './cli/vault-access.ts'

/** For revoking doctor's own token. */
const REVOKE_TIMEOUT_MS = 1_000

const options = {
  config: requiredText('FILE', "The plugin's configuration."),
  survive: durationOr(
    '72h',
    'The longest outage of the control plane after which the token must still be valid.',
  ),
  manifest: text(
    'FILE',
    'Static pod manifest of kube-apiserver. Default: where kubeadm, RKE2 and kops write it.',
  ),
  encryptionConfig: text(
    'FILE',
    'The EncryptionConfiguration. Default: the one that the manifest names.',
  ),
  peers: list(
    'LIST',
    'Addresses (host:port) of the admin servers of the other nodes, separated by commas, to check that all announce the same key.',
  ),
  acceptUnknown: list(
    'LIST',
    'Checks that may remain unknown, separated by commas: audit,key-upsert with the policy that setup writes.',
  ),
  json: flag('Print one JSON object: ok, unchecked, findings.'),
}

export const doctorCommand = defineCommand({
  name: 'doctor',
  usage: [
    '--config FILE [--survive DURATION] [--accept-unknown LIST] [--json] [--manifest FILE] [--encryption-config FILE] [--peers LIST]',
  ],
  description: `
Check this control-plane node. Reports line by line what works and what to fix:

    fail     token lifetime: expires in 50 min; it must last 72h ...

It changes nothing.`,
  options,
  exitCodes:
    '0 no problems found, 1 a check fails, or is unknown and not accepted, 2 wrong usage or configuration.',
  examples: ['$ transit-bridge doctor --config /etc/transit-bridge/config.yaml'],
  run: runDoctor,
})

/** Reports what works on this node and what to fix; returns EXIT_FAILED if something is wrong or was not checked. */
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
      file,
      session,
      clock,
      surviveMs,
      manifest: values.manifest ?? findManifest(),
      encryptionConfig: values.encryptionConfig,
      peers: values.peers ?? [],
    })
    const others = values.manifest === undefined ? checkManifestChoice() : []
    const all = [ok('configuration', file), ...findings, ...others]
    return reportFindings(all, values, terminal)
  } finally {
    await session.stop({ deadline: clock.monotonic() + REVOKE_TIMEOUT_MS })
    await client.close()
  }
}

function reportFindings(
  findings: readonly Finding[],
  { json, acceptUnknown = [] }: Pick<CommandValues<typeof options>, 'json' | 'acceptUnknown'>,
  terminal: Terminal,
): number {
  const unchecked = findUnchecked(findings, acceptUnknown)
  const healthy = unchecked.length === 0 && findings.every(({ level }) => level !== 'fail')
  print(
    terminal,
    json
      ? JSON.stringify({ ok: healthy, unchecked, findings }, null, 2)
      : [formatFindings(findings), ...explainUnchecked(unchecked)].join('\n'),
  )
  return healthy ? EXIT_OK : EXIT_FAILED
}

function explainUnchecked(unchecked: readonly string[]): readonly string[] {
  if (unchecked.length === 0) return []
  const names = unchecked.join(',')
  return [`not checked: ${names}; check as described above, then pass --accept-unknown ${names}`]
}
