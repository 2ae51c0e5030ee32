import { test } from 'tap'
import type { CallContext } from '../../src/call-context.ts'
import { BridgeError, type ErrorCode } from '../../src/errors.ts'
import { Health } from '../../src/kms/health.ts'
import { KeyWatch } from '../../src/kms/key-watch.ts'
import type { KeySnapshot } from '../../src/seed/key-snapshot.ts'
import { hashKeyId } from '../../src/seed/key-id.ts'
import { createKmsMetrics } from '../../src/telemetry/metrics/roles.ts'
import type { TransitKey } from '../../src/transit/key.ts'
import { HandClock } from '../fakes/clock.ts'
import { memoryLog, type LogLine } from '../fakes/log.ts'
import { OpenCall } from '../fakes/scripted-vault.ts'
import { CREATED, transitKey } from './transit-key.ts'

const REFRESH = 30_000
/** 95 % of the refresh interval. */
const PERIOD = 28_500
const GRACE = 120_000

/** A watch whose reads and proofs the test ends by hand. */
function fixture() {
  const clock = new HandClock()
  const node = { isStandby: false }
  const reads: OpenCall<undefined, TransitKey>[] = []
  const proofs: OpenCall<KeySnapshot, void>[] = []
  const refusals: BridgeError[] = []
  const health = new Health({ outageGraceMs: GRACE })
  const metrics = createKmsMetrics('test')
  const { log, lines } = memoryLog()
  const watch = new KeyWatch({
    isStandby: () => Promise.resolve(node.isStandby),
    readKey: (context) => {
      const call = new OpenCall<undefined, TransitKey>(undefined, context)
      reads.push(call)
      return call.result
    },
    proveKey: (snapshot, context) => {
      const call = new OpenCall<KeySnapshot, void>(snapshot, context)
      proofs.push(call)
      return call.result
    },
    clusters: { clusterId: 'prod', alsoDecryptClusters: [] },
    refreshIntervalMs: REFRESH,
    health,
    onRefusal: (error) => void refusals.push(error),
    clock,
    log,
    metrics,
  })
  const last = <T>(calls: readonly T[]): T => {
    const call = calls.at(-1)
    if (call === undefined) throw new Error('there was no call')
    return call
  }
  const within = (milliseconds = 3_000): CallContext => ({
    deadline: clock.monotonic() + milliseconds,
  })
  return {
    clock,
    node,
    reads,
    proofs,
    refusals,
    health,
    metrics,
    lines,
    watch,
    within,
    /** Ends the newest read. */
    give: (key: TransitKey) => last(reads).answer(key),
    failRead: (code: ErrorCode) => last(reads).fail(code),
    prove: () => last(proofs).answer(),
    failProof: (code: ErrorCode) => last(proofs).fail(code),
    state: () => health.state(clock.monotonic()),
    /** Milliseconds until the next read begins, turning the clock. */
    untilNextRead: async (): Promise<number> => {
      const from = clock.monotonic()
      const before = reads.length
      for (let step = 0; reads.length === before && step < 40_000 / 50; step += 1) {
        await clock.advance(50)
      }
      return clock.monotonic() - from
    },
  }
}

/** A watch that has read and proven the key. */
async function watching(key = transitKey(1)) {
  const given = fixture()
  given.watch.start()
  await given.give(key)
  await given.prove()
  return given
}

/** How a promise ended, as a word; it can be looked at while it is open. */
function follow(result: Promise<KeySnapshot>) {
  const state = { ended: 'open' }
  result.then(
    ({ keyVersion }) => void (state.ended = `version ${keyVersion}`),
    (error: { code: string }) => void (state.ended = error.code),
  )
  return state
}

void test('start reads the key at once and waits for nothing', async (t) => {
  const { watch, reads, state } = fixture()
  watch.start()
  t.equal(reads.length, 1)
  t.equal(watch.snapshot, undefined)
  t.equal(state().reason, 'starting')
})

void test('the first read announces the key, a proof makes it healthy', async (t) => {
  const { watch, give, prove, proofs, state, lines, metrics } = fixture()
  watch.start()
  await give(transitKey(3))
  t.match(watch.snapshot, { keyVersion: 3 })
  t.equal(state().healthy, false, 'nothing was encrypted yet')
  t.equal(proofs[0]?.given, watch.snapshot)
  await prove()
  t.same(state(), { healthy: true, reason: 'ok', text: 'ok' })
  t.match(lines, [
    { level: 'info', msg: 'announcing version 3 of the key', key_version: 3 },
    { level: 'info', msg: 'healthy' },
  ])
  t.match(lines[0]?.['key_id'], watch.snapshot?.keyId)
  t.equal((await metrics.keyVersion.get()).values[0]?.value, 3)
  t.equal((await metrics.keyRotationsSeen.get()).values[0]?.value, 0)
})

void test('while Vault works each refresh interval has one read and no proof', async (t) => {
  const { clock, reads, proofs, give, lines, watch } = await watching()
  lines.length = 0
  for (let round = 1; round <= 5; round += 1) {
    await clock.advance(PERIOD - 1)
    t.equal(reads.length, round)
    await clock.advance(1)
    t.equal(reads.length, round + 1)
    await give(transitKey(1))
    t.equal(watch.snapshot?.takenAt, clock.monotonic())
  }
  t.equal(proofs.length, 1)
  t.same(lines, [], 'and nothing is logged')
  t.equal(clock.pending, 1)
})

void test('a rotation is announced, logged and counted once', async (t) => {
  const { clock, give, lines, metrics, watch, proofs } = await watching()
  lines.length = 0
  for (let round = 0; round < 3; round += 1) {
    await clock.advance(PERIOD)
    await give(transitKey(2))
  }
  t.match(watch.snapshot, { keyVersion: 2 })
  t.match(lines, [{ msg: 'the key changed in Vault: announcing version 2 instead of 1' }])
  t.equal(lines.length, 1)
  t.equal((await metrics.keyRotationsSeen.get()).values[0]?.value, 1)
  t.equal((await metrics.keyVersion.get()).values[0]?.value, 2)
  const { values: infos } = await metrics.keyInfo.get()
  const key_id_hash = hashKeyId(String(watch.snapshot?.keyId))
  t.match(infos, [{ labels: { key_id_hash, key_version: '2' }, value: 1 }])
  t.equal(infos.length, 1, 'only the announced version')
  t.equal(proofs.length, 1, 'a rotation is no failure')
})

void test('callers wait for the first snapshot, or receive the reason if there is none', async (t) => {
  const { watch, give, failRead, prove, within, reads, clock } = fixture()
  watch.start()
  const early = follow(watch.current(within()))
  await failRead('VAULT_SEALED')
  await failRead('VAULT_UNREACHABLE')
  t.equal(early.ended, 'VAULT_UNREACHABLE')
  await t.rejects(watch.current(within()), { code: 'VAULT_UNREACHABLE' })
  t.equal(reads.length, 2, 'what was heard a moment ago is not asked again')
  await clock.advance(250)
  const call = follow(watch.current(within()))
  await give(transitKey(1))
  await prove()
  t.equal(call.ended, 'version 1')
  t.equal(await watch.current(within()), watch.snapshot, 'from now on it needs no read')
})

void test('any number of refreshes at the same time cost two reads', async (t) => {
  const { watch, give, reads, within } = await watching()
  const calls = Array.from({ length: 50 }, () => follow(watch.refresh(within())))
  t.equal(reads.length, 2)
  await give(transitKey(2))
  t.equal(calls[0]?.ended, 'version 2')
  await give(transitKey(2))
  t.ok(calls.every(({ ended }) => ended === 'version 2'))
  t.equal(reads.length, 3)
})

void test('a refresh during a check reads again after it, because its read may be older than the call', async (t) => {
  const { watch, give, reads, within, clock } = await watching()
  await clock.advance(PERIOD)
  const call = follow(watch.refresh(within()))
  await give(transitKey(1))
  t.equal(call.ended, 'open')
  t.equal(reads.length, 3)
  await give(transitKey(2))
  t.equal(call.ended, 'version 2')
})

void test('a refresh whose own read fails does not return the read before it', async (t) => {
  const { watch, give, failRead, within, clock } = await watching()
  await clock.advance(PERIOD)
  const call = follow(watch.refresh(within()))
  await give(transitKey(1))
  await failRead('VAULT_SEALED')
  t.equal(call.ended, 'VAULT_SEALED')
})

void test('a refresh ends at the deadline of its caller, or when the caller cancels; the read continues', async (t) => {
  const { watch, give, within, clock } = await watching()
  const caller = new AbortController()
  const late = follow(watch.refresh(within(100)))
  const gone = follow(watch.refresh({ ...within(), signal: caller.signal }))
  caller.abort()
  await clock.advance(100)
  t.equal(late.ended, 'DEADLINE_EXCEEDED')
  t.equal(gone.ended, 'CANCELLED')
  await give(transitKey(2))
  t.equal(watch.snapshot?.keyVersion, 2)
})

void test('a deadline that passes while the first check is tried again is reported with the outage', async (t) => {
  const { watch, reads, within, clock } = fixture()
  watch.start()
  const call = follow(watch.currentForEncrypt(within(100)))
  reads[0]?.context.onRetry?.(new BridgeError('VAULT_UNREACHABLE', 'connection refused'))
  await clock.advance(100)
  t.equal(call.ended, 'VAULT_UNREACHABLE')
})

void test('a refresh by age returns the known snapshot while it is young', async (t) => {
  const { watch, reads, within, clock, give } = await watching()
  await clock.advance(4_999)
  t.equal(await watch.refreshIfOlderThan(5_000, within()), watch.snapshot)
  t.equal(reads.length, 1)
  await clock.advance(1)
  const call = follow(watch.refreshIfOlderThan(5_000, within()))
  t.equal(reads.length, 2)
  await give(transitKey(1))
  t.equal(call.ended, 'version 1')
})

void test('an older key is not accepted, but counts as fresh, until Vault showed it for two minutes', async (t) => {
  const { clock, give, prove, watch, lines, metrics } = await watching(transitKey(3))
  lines.length = 0
  for (let waited = 0; waited < 120_000; waited += PERIOD) {
    await clock.advance(PERIOD)
    await give(transitKey(2))
    t.equal(watch.snapshot?.keyVersion, 3)
    t.equal(watch.snapshot?.takenAt, clock.monotonic())
    await prove()
  }
  t.match(lines, [{ level: 'warn', msg: /^Vault shows version 2 .* version 3 was known/ }])
  t.equal(lines.length, 1)
  await clock.advance(PERIOD)
  await give(transitKey(2))
  t.equal(watch.snapshot?.keyVersion, 2)
  t.match(lines.slice(1), [
    { level: 'warn', msg: /^Vault lost versions of the key.* version 2 is the latest/ },
    { level: 'info', msg: 'the key changed in Vault: announcing version 2 instead of 3' },
  ])
  t.equal((await metrics.keyRotationsSeen.get()).values[0]?.value, 1)
})

void test('a Vault that was restored from a backup: its older key is accepted as soon as it refuses the known version', async (t) => {
  const { clock, give, failProof, prove, proofs, watch, lines, untilNextRead, state } =
    await watching(transitKey(3))
  lines.length = 0
  await clock.advance(PERIOD)
  const since = clock.monotonic()
  while (watch.snapshot?.keyVersion === 3) {
    await give(transitKey(2))
    t.equal(proofs.at(-1)?.given.keyVersion, 3, 'a proof with the known version')
    await failProof('KEY_VERSION_UNKNOWN')
    if (watch.snapshot?.keyVersion === 3) await untilNextRead()
  }
  const tookMs = clock.monotonic() - since
  t.ok(tookMs >= 2_000 && tookMs < 5_000, `after ${String(tookMs)} ms`)
  t.equal(proofs.at(-1)?.given.keyVersion, 2, 'and a proof with the older one')
  await prove()
  t.equal(state().text, 'ok')
  t.match(
    lines.filter(({ level }) => level === 'warn').map(({ msg }) => msg),
    [/^Vault shows version 2/, /Vault does not answer; Status stays ok/, /^Vault lost versions/],
  )
})

void test('while another address does not answer, a node that refuses the known version may lag', async (t) => {
  const { clock, give, failProof, reads, watch, untilNextRead } = await watching(transitKey(3))
  await clock.advance(PERIOD)
  const since = clock.monotonic()
  const outage = new BridgeError('VAULT_UNREACHABLE', 'connection refused')
  const checkWithObstacle = async () => {
    reads.at(-1)?.context.onRetry?.(outage)
    await give(transitKey(2))
    await failProof('KEY_VERSION_UNKNOWN')
  }
  while (clock.monotonic() - since < 60_000) {
    await checkWithObstacle()
    await untilNextRead()
  }
  t.equal(watch.snapshot?.keyVersion, 3)
  await give(transitKey(2))
  await failProof('KEY_VERSION_UNKNOWN')
  t.equal(watch.snapshot?.keyVersion, 2, 'all addresses answered')
})

void test('a standby that refuses the known version is not taken for a restored Vault', async (t) => {
  const { clock, node, give, failProof, watch, untilNextRead } = await watching(transitKey(3))
  node.isStandby = true
  await clock.advance(PERIOD)
  const since = clock.monotonic()
  while (clock.monotonic() - since < 60_000) {
    await give(transitKey(2))
    await failProof('KEY_VERSION_UNKNOWN')
    await untilNextRead()
  }
  t.equal(watch.snapshot?.keyVersion, 3)
  node.isStandby = false
  await give(transitKey(2))
  await failProof('KEY_VERSION_UNKNOWN')
  t.equal(watch.snapshot?.keyVersion, 2, 'the leader has lost the version')
})

void test('a standby that encrypts with the known version only lags: its older key is not accepted', async (t) => {
  const { clock, give, prove, watch } = await watching(transitKey(3))
  await clock.advance(PERIOD)
  await give(transitKey(2))
  await prove()
  await clock.advance(PERIOD)
  await give(transitKey(3))
  t.equal(watch.snapshot?.keyVersion, 3)
})

void test('a standby that lags now and then: its older key is not accepted', async (t) => {
  const { clock, give, prove, watch } = await watching(transitKey(3))
  for (let round = 0; round < 20; round += 1) {
    await clock.advance(PERIOD)
    await give(transitKey(round % 3 === 2 ? 3 : 2))
    if (round % 3 !== 2) await prove()
    t.equal(watch.snapshot?.keyVersion, 3)
  }
})

void test('a key that was deleted and created again is accepted at once', async (t) => {
  const { clock, give, watch, lines } = await watching(transitKey(9))
  await clock.advance(PERIOD)
  await give(transitKey(1, { createdAt: CREATED + 86_400 }))
  t.equal(watch.snapshot?.keyVersion, 1)
  t.match(lines.at(-1), { msg: /announcing version 1 instead of 9/ })
})

void test('while Vault fails the waits between reads grow from 0.25 s to 4 s', async (t) => {
  const { failRead, untilNextRead } = await watching()
  t.equal(await untilNextRead(), PERIOD)
  for (const wait of [250, 500, 1_000, 2_000, 4_000, 4_000]) {
    await failRead('VAULT_UNREACHABLE')
    t.equal(await untilNextRead(), wait)
  }
})

void test('after the outage the waits start again at the shortest', async (t) => {
  const { failRead, untilNextRead, give, prove } = await watching()
  for (let round = 0; round < 3; round += 1) {
    await untilNextRead()
    await failRead('VAULT_SEALED')
  }
  await untilNextRead()
  await give(transitKey(1))
  await prove()
  t.equal(await untilNextRead(), PERIOD)
  await failRead('VAULT_SEALED')
  t.equal(await untilNextRead(), 250)
})

void test('an outage shows after its grace, and only a full proof ends it', async (t) => {
  const { clock, failRead, give, prove, failProof, proofs, state, untilNextRead, refusals } =
    await watching()
  await untilNextRead()
  await failRead('VAULT_SEALED')
  const since = state().failingSince ?? NaN
  t.match(state(), { healthy: true, reason: 'VAULT_SEALED', text: 'ok' })
  await clock.advance(since + GRACE - 1 - clock.monotonic())
  t.equal(state().healthy, true)
  await clock.advance(1)
  t.match(state(), { healthy: false, text: 'scripted VAULT_SEALED' })
  await give(transitKey(1))
  t.equal(state().healthy, false, 'reading the key is not enough')
  t.equal(proofs.length, 2)
  await failProof('VAULT_TIMEOUT')
  t.match(state(), { healthy: false, reason: 'VAULT_TIMEOUT' })
  await untilNextRead()
  await give(transitKey(1))
  await prove()
  t.equal(state().text, 'ok')
  t.same(refusals, [])
})

void test('a check runs at the end of the grace, so that the log reports it when Status does', async (t) => {
  const { clock, failRead, state, untilNextRead, lines } = await watching()
  await untilNextRead()
  await failRead('VAULT_SEALED')
  const end = (state().failingSince ?? NaN) + GRACE
  for (;;) {
    await untilNextRead()
    if (clock.monotonic() >= end) break
    await failRead('VAULT_SEALED')
  }
  t.equal(clock.monotonic(), end)
  await failRead('VAULT_SEALED')
  t.match(lines.at(-1), { level: 'error', msg: 'unhealthy: scripted VAULT_SEALED' })
})

void test('a refusal shows at once and is reported', async (t) => {
  const { failRead, state, untilNextRead, refusals, lines } = await watching()
  await untilNextRead()
  await failRead('VAULT_DENIED')
  t.match(state(), { healthy: false, reason: 'VAULT_DENIED', text: 'scripted VAULT_DENIED' })
  t.match(refusals, [{ code: 'VAULT_DENIED' }])
  t.match(lines.at(-1), { level: 'error', msg: 'unhealthy: scripted VAULT_DENIED' })
})

const UNSUITABLE: readonly (readonly [string, Partial<TransitKey>, ErrorCode])[] = [
  ['is soft-deleted', { softDeleted: true }, 'KEY_MISSING'],
  ['is derived', { derived: true }, 'KEY_UNSUITABLE'],
  ['is of a type without additional data', { type: 'rsa-4096' }, 'KEY_UNSUITABLE'],
]

for (const [what, change, code] of UNSUITABLE) {
  void test(`a key that ${what} is a refusal; the known snapshot stays`, async (t) => {
    const { give, state, untilNextRead, watch } = await watching()
    await untilNextRead()
    await give(transitKey(1, change))
    t.match(state(), { healthy: false, reason: code })
    t.equal(watch.snapshot?.keyVersion, 1)
  })
}

void test('a response without the latest version is an outage: it is not Vault that refuses', async (t) => {
  const { give, state, untilNextRead, watch } = await watching()
  await untilNextRead()
  await give(transitKey(1, { versions: new Map() }))
  t.match(state(), { healthy: true, reason: 'VAULT_ANSWER_INVALID' })
  t.equal(watch.snapshot?.keyVersion, 1)
})

void test('a check that runs out of time is an outage, not a refusal', async (t) => {
  const { failRead, state, untilNextRead, reads, clock } = await watching()
  await untilNextRead()
  t.equal(reads.at(-1)?.context.deadline, clock.monotonic() + 8_000)
  t.match(reads.at(-1)?.context.uid, /^check-/)
  await failRead('DEADLINE_EXCEEDED')
  t.match(state(), { healthy: true, reason: 'VAULT_TIMEOUT' })
})

void test('a suspicion causes a check with a proof', async (t) => {
  const { watch, reads, proofs, give, prove, clock, state } = await watching()
  await clock.advance(5_000)
  watch.suspect()
  t.equal(state().text, 'ok', 'a suspicion alone changes nothing')
  await clock.advance(0)
  t.equal(reads.length, 2)
  await give(transitKey(1))
  t.equal(proofs.length, 2)
  await prove()
  await clock.advance(PERIOD - 1)
  t.equal(reads.length, 2, 'then the ordinary interval')
})

void test('any number of suspicions cause at most one check a second', async (t) => {
  const { watch, reads, give, prove, clock } = await watching()
  await clock.advance(5_000)
  for (let step = 0; step < 100; step += 1) {
    const before = reads.length
    watch.suspect()
    watch.suspect()
    await clock.advance(100)
    if (reads.length === before) continue
    await give(transitKey(1))
    await prove()
  }
  t.equal(reads.length, 11, 'the first, and ten in ten seconds')
})

void test('a suspicion at the end of a check is not lost', async (t) => {
  const { watch, reads, give, prove, clock, lines } = fixture()
  // The line "healthy" is the last that a check does.
  lines.push = (line: LogLine) => {
    if (line.msg === 'healthy') watch.suspect()
    return 0
  }
  watch.start()
  await give(transitKey(1))
  await prove()
  await clock.advance(1_000)
  t.equal(reads.length, 2)
})

void test('a suspicion during a check makes that check prove', async (t) => {
  const { watch, reads, proofs, give, prove, untilNextRead } = await watching()
  await untilNextRead()
  watch.suspect()
  await give(transitKey(1))
  t.equal(proofs.length, 2)
  await prove()
  t.equal(reads.length, 2)
  t.equal(await untilNextRead(), PERIOD)
})

void test('a suspicion during a known failure does not make the next read earlier', async (t) => {
  const { watch, failRead, untilNextRead } = await watching()
  await untilNextRead()
  await failRead('VAULT_SEALED')
  watch.suspect()
  t.equal(await untilNextRead(), 250)
})

void test('after stop no read starts, not even from the check in progress', async (t) => {
  const { watch, reads, give, clock, untilNextRead } = await watching()
  await untilNextRead()
  watch.stop()
  await give(transitKey(1))
  watch.suspect()
  t.equal(clock.pending, 0)
  await clock.advance(10 * REFRESH)
  t.equal(reads.length, 2)
})
