import { systemClock } from '../time/clock.ts'
import { parseDuration } from '../time/duration.ts'
import { loadConfig } from '../config/load.ts'
import { requireSection } from '../config/section.ts'
import { examine } from '../doctor/examine.ts'
import { formatFindings, ok, type Finding } from '../doctor/finding.ts'
import { BridgeError } from '../errors.ts'
import { createLogger } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { version } from '../version.ts'
import { requireValue, type OptionValues } from './cli/command.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'
import { createVaultAccess } from './cli/vault-access.ts'

const MANIFEST = '/etc/kubernetes/manifests/kube-apiserver.yaml'
const SURVIVE = '72h'
/** Time to give the own token back (milliseconds). */
const REVOKE_TIME = 1_000

/** Says what works on this node and what to mend; EXIT_FAILED when something must be. */
export async function runDoctor(values: OptionValues, terminal: Terminal): Promise<number> {
  const file = requireValue(values, 'config')
  const surviveMs = parseDuration(text(values, 'survive') ?? SURVIVE)
  if (surviveMs === undefined)
    throw new BridgeError(
      'USAGE_INVALID',
      'doctor: --survive is not a duration; write for example 72h',
    )
  const config = await loadConfig(file, terminal.environment)
  requireSection(config, 'kms')
  const clock = systemClock
  const { client, session } = createVaultAccess({
    config: config.vault,
    clock,
    log: createLogger('silent'),
    metrics: createMetrics(version),
  })
  try {
    const findings = await examine({
      config,
      session,
      clock,
      surviveMs,
      manifest: text(values, 'manifest') ?? MANIFEST,
      encryptionConfig: text(values, 'encryption-config'),
      peers: (text(values, 'peers') ?? '').split(',').filter((peer) => peer !== ''),
    })
    return reportFindings(
      [ok('configuration', file), ...findings],
      values['json'] === true,
      terminal,
    )
  } finally {
    await session.stop({ deadline: clock.monotonic() + REVOKE_TIME })
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

function text(values: OptionValues, name: string): string | undefined {
  const value = values[name]
  return typeof value === 'string' ? value : undefined
}
