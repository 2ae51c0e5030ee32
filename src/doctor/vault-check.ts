import type { Clock } from '../time/clock.ts'
import { describeDuration } from '../time/duration.ts'
import { fail, ok, warn, type Finding } from './finding.ts'
import type { CertificateLife, VaultView } from './vault-probe.ts'

/** The first Vault 1.x whose Transit authenticates associated_data. */
const MIN_VAULT_1_MINOR = 13
const DAY = 24 * 3600_000
/** Who has to get a new certificate wants to know it some weeks before. */
const CERTIFICATE_SOON = 21 * DAY
/** Vault and kube-apiserver allow a minute between clocks (identity/token-check.ts). */
const SKEW_FAILS = 60_000
/** HTTP's Date is in whole seconds, and an answer takes its time. */
const SKEW_WARNS = 5_000

/** What Vault's addresses show to anybody: reach, seal, TLS, clock. */
export function checkVault(views: readonly VaultView[], clock: Clock): readonly Finding[] {
  return views.flatMap((view) => [
    checkReach(view, views.length > 1),
    ...checkVersion(view),
    ...checkSeal(view),
    ...checkCertificates(view, clock.now()),
    ...checkClock(view, clock.now()),
  ])
}

/** One dead address of several is no outage. */
function checkReach({ address, problem, health }: VaultView, hasOthers: boolean): Finding {
  if (problem === undefined)
    return ok('vault reach', `${address} answers, version ${health?.version ?? 'unknown'}`)
  return hasOthers ? warn('vault reach', problem) : fail('vault reach', problem)
}

/**
 * Vault before 1.13 ignores associated_data without an error (hashicorp/vault#17638). OpenBao starts at 2.0 and has
 * it. What the plugin proves is what counts; this names the cause.
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
    return [fail('vault seal', `${address} is not initialised`, 'bao operator init')]
  if (health.sealed)
    return [fail('vault seal', `${address} is sealed`, 'unseal it; nothing else is needed')]
  return [ok('vault seal', 'unsealed')]
}

function checkCertificates({ address, certificates }: VaultView, now: number): readonly Finding[] {
  const first = certificates.toSorted((one, other) => one.expiresAt - other.expiresAt)[0]
  if (first !== undefined) return [checkCertificate(first, now)]
  if (!address.startsWith('http:')) return []
  return [
    warn(
      'vault tls',
      `${address} is without TLS`,
      'right only on this host, or where another layer encrypts',
    ),
  ]
}

function checkCertificate({ name, expiresAt }: CertificateLife, now: number): Finding {
  const why = `certificate ${JSON.stringify(name)} expires in ${describeDuration(expiresAt - now)}, the first of its chain`
  return expiresAt - now > CERTIFICATE_SOON
    ? ok('vault tls', why)
    : warn('vault tls', why, 'renew it; it is read again by itself')
}

function checkClock({ address, time }: VaultView, now: number): readonly Finding[] {
  if (time === undefined) return []
  const skew = now - time
  const why = `${describeDuration(Math.abs(skew))} ${skew > 0 ? 'ahead of' : 'behind'} ${address}`
  if (Math.abs(skew) < SKEW_WARNS) return [ok('clock', 'agrees with that of vault')]
  const fix = 'let both hosts take their time from the same source (chrony, NTP)'
  if (Math.abs(skew) < SKEW_FAILS) return [warn('clock', why, fix)]
  return [fail('clock', `${why}: tokens count as expired, or as not valid yet`, fix)]
}
