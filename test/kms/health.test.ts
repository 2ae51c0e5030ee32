import { test } from 'tap'
import { BridgeError } from '../../src/errors.ts'
import { HealthLog } from '../../src/kms/health-log.ts'
import { Health } from '../../src/kms/health.ts'
import { memoryLog } from '../fakes/log.ts'

const GRACE = 120_000
const sealed = new BridgeError('VAULT_SEALED', 'vault is sealed')
const denied = new BridgeError('VAULT_DENIED', 'vault denies it')

function provenHealth(): Health {
  const health = new Health({ outageGraceMs: GRACE })
  health.prove()
  return health
}

void test('before the first proof the state is starting, and not healthy', (t) => {
  const health = new Health({ outageGraceMs: GRACE })
  t.match(health.state(0), { healthy: false, reason: 'starting', text: /^starting: / })
  t.equal(health.needsProof, true)
  t.end()
})

void test('a proof makes the state healthy, regardless of what it was before', (t) => {
  const health = new Health({ outageGraceMs: GRACE })
  health.fail(denied, 0)
  health.fail(sealed, 1)
  health.doubt()
  health.prove()
  t.same(health.state(2), { healthy: true, reason: 'ok', text: 'ok' })
  t.equal(health.needsProof, false)
  t.end()
})

void test('an outage at the start has no grace, because nothing was proven', (t) => {
  const health = new Health({ outageGraceMs: GRACE })
  health.fail(sealed, 0)
  t.same(health.state(0), {
    healthy: false,
    reason: 'VAULT_SEALED',
    text: 'vault is sealed',
    failingSince: 0,
  })
  t.end()
})

void test('an outage shows when its grace, counted from its first failure, is over', (t) => {
  const health = provenHealth()
  health.fail(sealed, 1_000)
  health.fail(new BridgeError('VAULT_TIMEOUT', 'late'), 60_000)
  const inGrace = (leftMs: number) => ({
    healthy: true,
    reason: 'VAULT_TIMEOUT',
    text: 'ok',
    failingSince: 1_000,
    hiddenFor: { leftMs, setting: 'kms.outageGrace' },
  })
  t.same(health.state(60_000), inGrace(GRACE - 59_000))
  t.same(health.state(1_000 + GRACE - 1), inGrace(1))
  t.match(health.state(1_000 + GRACE), { healthy: false, text: 'late' })
  t.end()
})

void test('the longer one of the grace and offlineFor hides an outage', (t) => {
  const health = new Health({ outageGraceMs: GRACE, offlineLeftMs: () => 60_000 })
  health.prove()
  health.fail(sealed, 0)
  t.match(health.state(59_999), { hiddenFor: { leftMs: 60_001, setting: 'kms.outageGrace' } })
  const hiddenFor = { leftMs: 60_000, setting: 'kms.localKeys.offlineFor' }
  t.match(health.state(60_001), { hiddenFor })
  t.equal(health.graceLeft(60_001), 60_000)
  t.end()
})

void test('a new outage after a proof has a new grace', (t) => {
  const health = provenHealth()
  health.fail(sealed, 0)
  health.prove()
  health.fail(sealed, GRACE)
  t.match(health.state(GRACE + 1), { healthy: true, failingSince: GRACE })
  t.end()
})

void test('with a grace of 0 an outage shows at once', (t) => {
  const health = new Health({ outageGraceMs: 0 })
  health.prove()
  health.fail(sealed, 5)
  t.match(health.state(5), { healthy: false })
  t.end()
})

void test('a refusal has no grace, nor has an outage that follows it', (t) => {
  const health = provenHealth()
  health.fail(denied, 0)
  t.match(health.state(0), { healthy: false, reason: 'VAULT_DENIED', text: 'vault denies it' })
  health.fail(sealed, 1)
  t.match(health.state(1), { healthy: false, reason: 'VAULT_SEALED' })
  t.end()
})

void test('a host that cannot read a file now has the grace of an outage, and local keys serve meanwhile', (t) => {
  const shortage = new BridgeError('HOST_UNAVAILABLE', 'too many files are open in this process')
  const health = provenHealth()
  health.fail(shortage, 0)
  t.match(health.state(1), { healthy: true, reason: 'HOST_UNAVAILABLE', text: 'ok' })
  const local = new Health({ outageGraceMs: 0, offlineLeftMs: () => 1_000 })
  local.prove()
  local.fail(shortage, 0)
  t.match(local.state(1), { healthy: true, hiddenFor: { setting: 'kms.localKeys.offlineFor' } })
  t.end()
})

void test('without a credential, Status is ok only while local keys encrypt: Vault has refused nothing', (t) => {
  for (const code of ['IDENTITY_MISSING', 'IDENTITY_INVALID'] as const) {
    const missing = new BridgeError(code, 'the token file is empty')
    let offlineLeftMs = 1_000
    const health = new Health({ outageGraceMs: 0, offlineLeftMs: () => offlineLeftMs })
    health.prove()
    health.fail(missing, 0)
    t.match(health.state(1), { healthy: true, reason: code, text: 'ok' })
    offlineLeftMs = 0
    t.match(health.state(2), { healthy: false, reason: code, text: /^the token file is empty/ })
    health.fail(missing, 3)
    offlineLeftMs = 1_000
    t.equal(health.state(4).healthy, false, 'local keys that Vault did not agree to are no reason')
    const without = provenHealth()
    without.fail(missing, 0)
    t.match(without.state(0), { healthy: false, text: 'the token file is empty' })
    const restarted = new Health({ outageGraceMs: 0, offlineLeftMs: () => 1_000 })
    restarted.restore()
    restarted.fail(missing, 0)
    t.equal(restarted.state(0).text, 'ok')
    restarted.fail(denied, 0)
    t.equal(restarted.state(0).healthy, false)
  }
  t.end()
})

void test('a doubt only requires that the next success is a proof', (t) => {
  const health = provenHealth()
  t.equal(health.doubt(), false, 'was not known')
  t.equal(health.doubt(), true)
  t.equal(health.needsProof, true)
  t.equal(health.state(0).text, 'ok')
  health.prove()
  t.equal(health.doubt(), false)
  t.end()
})

const TEXTS: readonly (readonly [string, string, string])[] = [
  ['line breaks and tabs', 'one\n\ttwo\r\n  three\u2028four ', 'one two three four'],
  ['control characters', 'one\u0000two\u001b[31m', 'one two [31m'],
  ['500 characters', 'x'.repeat(500), 'x'.repeat(500)],
  ['501 characters', 'x'.repeat(501), `${'x'.repeat(499)}…`],
  ['a pair of surrogates at the end', `${'x'.repeat(498)}😀😀`, `${'x'.repeat(498)}…`],
]

for (const [what, message, text] of TEXTS) {
  void test(`the reason is one line of bounded length: ${what}`, (t) => {
    const health = new Health({ outageGraceMs: 0 })
    health.fail(new BridgeError('VAULT_DENIED', message), 0)
    t.equal(health.state(0).text, text)
    t.end()
  })
}

void test('health is logged when it changes, and a failure again once a minute', (t) => {
  const { log, lines } = memoryLog()
  const clock = { now: () => 0 }
  const healthLog = new HealthLog(log, clock)
  const health = new Health({ outageGraceMs: GRACE })
  const report = (now: number, detail = 'why') => {
    lines.length = 0
    clock.now = () => now
    healthLog.report(health.state(now), detail, now)
    return lines.map(({ level, reason, msg }) => `${level} ${String(reason)}: ${msg}`)
  }
  t.same(report(0), ['info starting: starting'])
  t.same(report(100_000), [], 'nothing changed and nothing fails')
  health.prove()
  t.same(report(100_001), ['info ok: healthy'])
  t.same(report(200_000), [], 'health is not repeated')
  health.fail(sealed, 200_001)
  const inGrace =
    'warn VAULT_SEALED: Vault does not answer; Status stays ok until 00:05:20 UTC (kms.outageGrace): why'
  t.same(report(200_001), [inGrace])
  t.same(report(260_000), [])
  t.same(report(260_001), [inGrace], 'a minute later')
  t.same(report(320_001, 'still'), ['error VAULT_SEALED: unhealthy: still'], 'the grace is over')
  t.same(report(380_000, 'still'), [])
  t.same(report(380_001, 'still'), ['error VAULT_SEALED: unhealthy: still'])
  health.fail(denied, 380_002)
  t.same(report(380_002), ['error VAULT_DENIED: unhealthy: why'], 'another reason')
  health.prove()
  t.same(report(380_003), ['info ok: healthy'])
  health.fail(new BridgeError('HOST_UNAVAILABLE', 'no memory is left'), 500_001)
  t.same(
    report(500_001),
    [
      'warn HOST_UNAVAILABLE: Vault cannot be asked; Status stays ok until 00:10:20 UTC (kms.outageGrace): why',
    ],
    'this host does not ask',
  )
  const local = new Health({ outageGraceMs: 0, offlineLeftMs: () => 60_000 })
  local.prove()
  local.fail(new BridgeError('IDENTITY_MISSING', 'there is no token'), 600_000)
  lines.length = 0
  healthLog.report(local.state(600_000), 'why', 600_000)
  t.match(lines, [{ msg: /^Vault cannot be asked; Status stays ok until / }], 'nor without a token')
  t.end()
})
