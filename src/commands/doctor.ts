import { systemClock } from '../time/clock.ts'
import type { Config, ProviderConfig } from '../config/config.ts'
import { loadProviderConfig } from '../config/load.ts'
import { isComplete } from '../config/required-keys.ts'
import { examine } from '../doctor/examine.ts'
import {
  findUnchecked,
  formatFindings,
  ok,
  UNKNOWN_NAMES,
  VAULT_FIRST,
  type Finding,
} from '../doctor/finding.ts'
import { checkManifestChoice, findManifest } from '../doctor/manifest-path.ts'
import { BridgeError } from '../errors.ts'
import { suggestChoice } from '../text/nearest.ts'
import { defineCommand, type CommandValues } from './cli/command.ts'
import { durationOr, flag, list, requiredText, text, usageError } from './cli/option.ts'
import { quietTelemetry } from './cli/quiet-telemetry.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'
import { createClient, createVaultAccess } from './cli/vault-access.ts'

/** For revoking doctor's own token. */
const REVOKE_TIMEOUT_MS = 1_000

const options = {
  config: requiredText('FILE', 'The configuration of the plugin, or of transit-bridge csi.'),
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
  podToken: text(
    'FILE',
    'With csi.runtime: a service-account token of pods, to check what Vault allows them. From kubectl create token NAME -n NAMESPACE --audience AUDIENCE.',
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
    '--config FILE [--survive DURATION] [--accept-unknown LIST] [--json] [--manifest FILE] [--encryption-config FILE] [--peers LIST] [--pod-token FILE]',
  ],
  description: `
Check this node: the KMS plugin and kube-apiserver if the configuration has the section
kms, and the CSI driver of csi.runtime. Reports line by line what works and what to fix:

    fail     token lifetime: expires in 50 min; it must last 72h ...

It changes nothing.`,
  options,
  exitCodes:
    '0 no problems found, 1 a check fails, or is unknown and not accepted, 2 wrong usage or configuration.',
  examples: ['$ transit-bridge doctor --config /etc/transit-bridge/config.yaml'],
  run: runDoctor,
})

type DoctorValues = CommandValues<typeof options>

/** Reports what works on this node and what to fix; returns EXIT_FAILED if something is wrong or was not checked. */
async function runDoctor(values: DoctorValues, terminal: Terminal): Promise<number> {
  const { config: file } = values
  requireNames(values.acceptUnknown ?? [])
  const config = await loadProviderConfig(file, terminal.environment)
  requireSubject(config, values)
  const clock = systemClock
  const telemetry = quietTelemetry()
  const access = config.kms !== undefined && isComplete(config) ? openPlugin(config) : undefined
  const client = access?.client ?? createClient({ config: config.vault, ...telemetry })
  try {
    const findings = await examine({
      config,
      plugin: access && { ...access, ...readPluginOptions(values) },
      file,
      access: { client, ...telemetry },
      clock,
      podToken: values.podToken,
    })
    const others =
      access === undefined || values.manifest !== undefined ? [] : checkManifestChoice()
    const all = [ok('configuration', file), ...findings, ...others]
    return reportFindings(all, values, terminal)
  } finally {
    await access?.session.stop({ deadline: clock.monotonic() + REVOKE_TIMEOUT_MS })
    await client.close()
  }
}

/** Without it, doctor would ignore an option, or check nothing but Vault, and could exit with 0. */
function requireSubject({ kms, csi }: ProviderConfig, { podToken }: DoctorValues): void {
  if (csi?.runtime !== undefined) return
  if (podToken !== undefined)
    throw usageError('--pod-token needs csi.runtime.enabled: true in the configuration')
  if (kms !== undefined) return
  const message =
    'the configuration has neither the section kms nor csi.runtime.enabled: true; doctor checks the KMS plugin and the driver of csi.runtime'
  throw new BridgeError('CONFIG_INVALID', message)
}

function openPlugin(config: Config) {
  return { config, ...createVaultAccess({ config: config.vault, ...quietTelemetry() }) }
}

function readPluginOptions({ survive, manifest, encryptionConfig, peers }: DoctorValues) {
  return {
    surviveMs: survive,
    manifest: manifest ?? findManifest(),
    encryptionConfig,
    peers: peers ?? [],
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
      : [formatFindings(findings), ...explainUnchecked(unchecked, findings)].join('\n'),
  )
  return healthy ? EXIT_OK : EXIT_FAILED
}

/** A misspelled name would accept nothing. */
function requireNames(accepted: readonly string[]): void {
  const wrong = accepted.find((name) => !UNKNOWN_NAMES.includes(name))
  if (wrong === undefined) return
  throw usageError(
    `--accept-unknown: ${JSON.stringify(wrong)} is not a check that can be unknown; ${suggestChoice(wrong, UNKNOWN_NAMES)}`,
  )
}

/** What fails may be the reason, so nothing is to be accepted before it is fixed. */
function explainUnchecked(
  unchecked: readonly string[],
  findings: readonly Finding[],
): readonly string[] {
  if (unchecked.length === 0) return []
  const names = unchecked.join(',')
  if (findings.some(({ level, fix }) => level === 'fail' || fix === VAULT_FIRST))
    return [`not checked: ${names}; first fix what fails, then run doctor again`]
  return [
    `not checked: ${names}; their lines say why: check them another way, then pass --accept-unknown ${names}`,
  ]
}
