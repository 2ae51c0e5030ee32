import type { Clock } from '../time/clock.ts'
import { describeDuration } from '../time/duration.ts'
import { checkCertificateLife } from './certificate-life.ts'
import { fail, ok, warn, type Finding } from './finding.ts'
import type { VaultView } from './vault-probe.ts'

/** The first Vault 1.x whose Transit authenticates associated_data. */
const MIN_VAULT_1_MINOR = 13
/** Vault and kube-apiserver tolerate a difference of a minute between clocks (identity/token-check.ts). */
const MAX_SKEW_MS = 60_000
/** HTTP's Date is in whole seconds, and a response takes a moment. */
const SKEW_WARNING_MS = 5_000

/** What Vault's addresses show without a login: reachability, seal, TLS, clock. */
export function checkVault(views: readonly VaultView[], clock: Clock): readonly Finding[] {
  const isReached = views.some(({ problem }) => problem === undefined)
  return views.flatMap((view) => [
    checkReach(view, isReached),
    ...checkVersion(view),
    ...checkSeal(view),
    ...checkCertificates(view, clock.now()),
    ...checkClock(view, clock.now()),
  ])
}

/** An unreachable address is not an outage if another one answers. */
function checkReach({ address, problem, health }: VaultView, isReached: boolean): Finding {
  if (problem === undefined)
    return ok('vault reach', `${address} answers, version ${health?.version ?? 'unknown'}`)
  return isReached ? warn('vault reach', problem) : fail('vault reach', problem)
}

/**
 * Vault before 1.13 ignores associated_data without an error (hashicorp/vault#17638). OpenBao starts at 2.0 and has
 * it. The plugin itself proves that its Vault authenticates; this check names the cause if it does not.
 */
function checkVersion({ address, health }: VaultView): readonly Finding[] {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(health?.version ?? '') ?? []
  if (major === undefined || minor === undefined) return []
  if (Number(major) > 1 || Number(minor) >= MIN_VAULT_1_MINOR) return []
  return [
    fail(
      'vault version',
      `${address} runs Vault ${major}.${minor}, which ignores associated_data in Transit: what it encrypts could not be decrypted after an upgrade`,
      `use Vault 1.${String(MIN_VAULT_1_MINOR)} or newer, or OpenBao`,
    ),
  ]
}

function checkSeal({ address, health }: VaultView): readonly Finding[] {
  if (health === undefined) return []
  if (!health.initialized)
    return [fail('vault seal', `${address} is not initialized`, 'run bao operator init')]
  if (health.sealed)
    return [fail('vault seal', `${address} is sealed`, 'unseal it; nothing else is needed')]
  return [ok('vault seal', 'unsealed')]
}

function checkCertificates({ address, certificates }: VaultView, now: number): readonly Finding[] {
  const first = certificates.toSorted((one, other) => one.expiresAt - other.expiresAt)[0]
  if (first !== undefined) {
    const label = `certificate ${JSON.stringify(first.name)}, the first of its chain to expire,`
    return [checkCertificateLife('vault tls', label, first.expiresAt, now)]
  }
  if (!address.startsWith('http:')) return []
  return [
    warn(
      'vault tls',
      `${address} does not use TLS`,
      'acceptable only on this host, or if another layer encrypts',
    ),
  ]
}

function checkClock({ address, time }: VaultView, now: number): readonly Finding[] {
  if (time === undefined) return []
  const skew = now - time
  const why = `${describeDuration(Math.abs(skew))} ${skew > 0 ? 'ahead of' : 'behind'} ${address}`
  if (Math.abs(skew) < SKEW_WARNING_MS) return [ok('clock', 'agrees with that of Vault')]
  const fix = 'synchronize both hosts with the same source (chrony, NTP)'
  if (Math.abs(skew) < MAX_SKEW_MS) return [warn('clock', why, fix)]
  return [fail('clock', `${why}: tokens count as expired, or as not valid yet`, fix)]
}
