import { test } from 'tap'
import type { CallContext } from '../../src/call-context.ts'
import { BridgeError } from '../../src/errors.ts'
import { createKmsMetrics } from '../../src/telemetry/metrics/roles.ts'
import { createVaultSession } from '../../src/vault/session/session.ts'
import type { VaultRequest } from '../../src/vault/client/request.ts'
import { HandClock, settle } from '../fakes/clock.ts'
import { memoryLog } from '../fakes/log.ts'
import { ScriptedLogin, ScriptedVault } from '../fakes/scripted-vault.ts'

const encrypt: VaultRequest = { operation: 'encrypt', method: 'POST', path: 'transit/encrypt/k' }
const ok = { status: 200, body: {} }

/** A session with everything around it controlled by the test; jitter is at its middle. */
function fixture() {
  const clock = new HandClock()
  const vault = new ScriptedVault()
  const login = new ScriptedLogin()
  const { log, lines } = memoryLog()
  const metrics = createKmsMetrics('test')
  const session = createVaultSession({
    client: vault,
    login,
    clock,
    log,
    metrics,
    random: () => 0.5,
  })
  const within = (milliseconds: number): CallContext => ({
    deadline: clock.monotonic() + milliseconds,
  })
  const ask = (context = within(3_000)) => outcome(session.request(encrypt, context))
  return { clock, vault, login, lines, metrics, session, within, ask }
}

/** How a request ended, as a word; it can be looked at while the request runs. */
function outcome(result: Promise<unknown>) {
  const state = { ended: 'open', result }
  const ended = (word: string) => void (state.ended = word)
  result.then(
    () => ended('ok'),
    (error: { code?: string }) => ended(error.code ?? 'no code'),
  )
  return state
}

/** A fixture with a token "t1" (lease 100 s) that is `age` old. */
async function loggedIn(age = 0) {
  const given = fixture()
  given.session.start()
  await given.login.grant('t1')
  await given.clock.advance(age)
  return given
}

void test('start starts a login and does not wait for it', async (t) => {
  const { session, login } = fixture()
  session.start()
  t.equal(login.calls.length, 1)
  t.equal(session.fault, undefined, 'no login has ended yet')
  t.equal(session.tokenExpiresAt, undefined)
})

void test('a session that is not started has no timers and logs in when asked', async (t) => {
  const { session, login, clock, vault, ask } = fixture()
  t.equal(clock.pending, 0)
  const asked = ask()
  await login.grant('t1')
  await vault.call(0).answer(ok)
  t.equal(asked.ended, 'ok')
  t.equal(clock.pending, 0)
  t.equal(session.tokenExpiresAt, clock.now() + 100_000)
})

void test('an unstarted session renews in the background when a request finds it due', async (t) => {
  const { login, clock, vault, ask } = fixture()
  ask()
  await login.grant('t1')
  await clock.advance(71_000)
  ask()
  await settle()
  t.strictSame(vault.seen, ['encrypt t1', 'encrypt t1'], 'the request did not wait')
  t.equal(login.calls.length, 2)
})

void test('a request gets the token and is not changed otherwise', async (t) => {
  const { vault, ask, within } = await loggedIn()
  const context = within(1_000)
  ask(context)
  await settle()
  const { token, ...rest } = vault.call(0).given
  t.strictSame(rest, encrypt)
  t.equal(token?.reveal(), 't1')
  t.equal(vault.call(0).context, context)
})

void test('many requests without a token share one login', async (t) => {
  const { session, login, vault, ask } = fixture()
  session.start()
  const asked = Array.from({ length: 20 }, () => ask())
  await login.grant('t1')
  t.equal(login.calls.length, 1)
  for (const call of vault.calls) await call.answer(ok)
  t.strictSame(new Set(asked.map(({ ended }) => ended)), new Set(['ok']))
})

void test('a deadline that passes while a login is tried again is reported with the outage', async (t) => {
  const { clock, login, ask, within } = fixture()
  const outage = new BridgeError('VAULT_UNREACHABLE', 'connection refused')
  const first = ask(within(500))
  login.call(0).context.onRetry?.(outage)
  await clock.advance(501)
  t.equal(first.ended, 'VAULT_UNREACHABLE')
  await login.grant('t1')
})

void test('requests that wait for a login learn why it is tried again, also those that come later', async (t) => {
  const { login, ask, within } = fixture()
  const reasons: string[] = []
  const context = { ...within(3_000), onRetry: ({ code }: BridgeError) => void reasons.push(code) }
  ask(context)
  login.call(0).context.onRetry?.(new BridgeError('VAULT_UNREACHABLE', 'connection refused'))
  ask(context)
  await settle()
  t.same(reasons, ['VAULT_UNREACHABLE', 'VAULT_UNREACHABLE'])
  await login.grant('t1')
})

void test('a request waits for a login only until its own deadline', async (t) => {
  const { clock, login, vault, ask, within } = fixture()
  const short = ask(within(500))
  const long = ask(within(3_000))
  await clock.advance(501)
  t.equal(short.ended, 'DEADLINE_EXCEEDED')
  await login.grant('t1')
  t.strictSame(vault.seen, ['encrypt t1'], 'the login went on for the other')
  t.equal(long.ended, 'open')
})

void test('a request stops waiting for a login when its caller disconnects', async (t) => {
  const { ask, within, clock } = fixture()
  const caller = new AbortController()
  const asked = ask({ ...within(3_000), signal: caller.signal })
  caller.abort()
  await settle()
  t.equal(asked.ended, 'CANCELLED')
  t.equal(clock.pending, 1, 'only the timer of the login is left')
})

void test('a caller that is already gone does not wait at all', async (t) => {
  const { ask, within } = fixture()
  const asked = ask({ ...within(3_000), signal: AbortSignal.abort() })
  await settle()
  t.equal(asked.ended, 'CANCELLED')
})

void test('after a refused login requests fail at once until a retry is due', async (t) => {
  const { login, ask, clock, session } = fixture()
  const first = ask()
  await login.fail('LOGIN_REFUSED')
  t.equal(first.ended, 'LOGIN_REFUSED')
  t.equal(session.fault?.code, 'LOGIN_REFUSED')
  const second = ask()
  await settle()
  t.equal(second.ended, 'LOGIN_REFUSED')
  t.equal(login.calls.length, 1)
  await clock.advance(500)
  ask()
  t.equal(login.calls.length, 2)
})

void test('in an outage requests wait for the next login as far as their deadlines allow', async (t) => {
  const { login, vault, ask, clock, session, within } = fixture()
  const first = ask()
  await login.fail('VAULT_SEALED')
  t.equal(session.fault?.code, 'VAULT_SEALED', 'the fault is known while they wait')
  const second = ask()
  const short = ask(within(300))
  await settle()
  t.equal(short.ended, 'VAULT_SEALED', 'with the reason, and without waiting')
  await clock.advance(500)
  t.equal(login.calls.length, 2, 'one login for both')
  await login.grant('t1')
  await vault.call(0).answer(ok)
  await vault.call(1).answer(ok)
  t.strictSame([first.ended, second.ended], ['ok', 'ok'])
})

void test('a deadline that passes while a request waits for a login in an outage reports the outage', async (t) => {
  const { login, ask, clock, within } = fixture()
  const asked = ask(within(2_000))
  await login.fail('VAULT_UNREACHABLE')
  await clock.advance(1_000)
  t.equal(asked.ended, 'open')
  await clock.advance(1_000)
  t.equal(asked.ended, 'VAULT_UNREACHABLE')
})

void test('a caller that retries itself does not wait', async (t) => {
  const { login, ask, within } = fixture()
  const asked = ask({ ...within(30_000), failsFast: true })
  await login.fail('VAULT_UNREACHABLE')
  await settle()
  t.equal(asked.ended, 'VAULT_UNREACHABLE')
})

void test('in a long outage a waiting request causes a login a second, and gives up after four waits', async (t) => {
  const { login, ask, clock, session, within } = fixture()
  session.start()
  for (let count = 0; count < 6; count += 1) {
    await login.fail('VAULT_UNREACHABLE')
    if (count < 5) await clock.advance(5_000)
  }
  const before = login.calls.length
  const asked = ask(within(30_000))
  for (let count = 1; count <= 4; count += 1) {
    t.equal(asked.ended, 'open')
    await clock.advance(1_000)
    t.equal(login.calls.length, before + count)
    await login.fail('VAULT_UNREACHABLE')
  }
  t.equal(asked.ended, 'VAULT_UNREACHABLE')
})

void test('a refusal ends the wait of a request at once', async (t) => {
  const { login, ask, clock } = fixture()
  const asked = ask()
  await login.fail('VAULT_UNREACHABLE')
  await clock.advance(500)
  await login.fail('LOGIN_REFUSED')
  t.equal(asked.ended, 'LOGIN_REFUSED')
  await clock.advance(10_000)
  t.equal(login.calls.length, 2)
})

void test('failed logins are tried again from 0.5 s up to at most 5 s apart', async (t) => {
  const { session, login, clock } = fixture()
  session.start()
  const pauses: number[] = []
  for (let round = 0; round < 7; round += 1) {
    await login.fail('VAULT_UNREACHABLE')
    const before = clock.monotonic()
    const count = login.calls.length
    while (login.calls.length === count) await clock.advance(25)
    pauses.push(clock.monotonic() - before)
  }
  t.strictSame(pauses, [450, 875, 1_750, 3_500, 4_375, 4_375, 4_375])
})

void test('a login that hangs is abandoned after 4 s and is an outage', async (t) => {
  const { session, login, clock } = fixture()
  session.start()
  t.equal(login.call(0).context.deadline, 4_000)
  await clock.advance(4_000)
  t.equal(session.fault?.code, 'VAULT_TIMEOUT')
  t.match(session.fault?.message, /login to Vault did not end within 4000 ms/)
  await clock.advance(500)
  t.equal(login.calls.length, 2)
})

void test('a login that times out reports why its requests failed', async (t) => {
  const { session, login, clock } = fixture()
  session.start()
  login.call(0).context.onRetry?.(new BridgeError('VAULT_TIMEOUT', 'the name server is silent'))
  await clock.advance(4_000)
  t.match(session.fault?.message, /did not end within 4000 ms: the name server is silent$/)
})

void test('the return of Vault is noticed within 10 s, even if every login hung before', async (t) => {
  const { session, login, clock } = fixture()
  session.start()
  const begins: number[] = []
  while (clock.monotonic() < 90_000) {
    if (login.calls.length > begins.length) begins.push(clock.monotonic())
    await clock.advance(100)
  }
  const gaps = begins.slice(1).map((begin, index) => begin - (begins[index] ?? 0))
  t.ok(gaps.length >= 9)
  t.ok(Math.max(...gaps) <= 9_000, `the longest gap is ${Math.max(...gaps)} ms`)
})

void test('the token is renewed at 70 % of its lease, apart from jitter', async (t) => {
  for (const [random, at] of [
    [0, 63_000],
    [0.5, 70_000],
    [0.999_999, 77_000],
  ] as const) {
    const { clock, vault, login, metrics } = fixture()
    const { log } = memoryLog()
    const options = { client: vault, login, clock, log, metrics, random: () => random }
    createVaultSession(options).start()
    await login.grant('t1')
    await clock.advance(at - 2)
    t.equal(login.calls.length, 1, `not before ${at} ms`)
    await clock.advance(2)
    t.equal(login.calls.length, 2, `at ${at} ms`)
  }
})

void test('the old token is used until a new one exists, and is then revoked', async (t) => {
  const { vault, login, clock, ask } = await loggedIn()
  await clock.advance(70_000)
  const during = ask()
  await settle()
  await vault.call(0).answer(ok)
  t.equal(during.ended, 'ok')
  await login.grant('t2')
  ask()
  await settle()
  t.strictSame(vault.seen, ['encrypt t1', 'revoke_token t1', 'encrypt t2'])
})

void test('an old token is not revoked before the last request with it has ended', async (t) => {
  const { vault, login, clock, ask } = await loggedIn(70_000)
  ask()
  ask()
  await settle()
  await login.grant('t2')
  await clock.advance(1_000)
  await vault.call(0).answer(ok)
  t.strictSame(vault.seen, ['encrypt t1', 'encrypt t1'])
  await vault.call(1).fail('VAULT_TIMEOUT')
  t.strictSame(vault.seen.slice(2), ['revoke_token t1'])
})

void test('each token whose lease ends while the client tries the request again is replaced', async (t) => {
  const { login, clock, vault, ask, within } = fixture()
  const asked = ask(within(60_000))
  for (const token of ['t1', 't2', 't3']) {
    await login.grant(token, { leaseSeconds: 2 })
    await clock.advance(2_100)
    await vault.call(vault.calls.length - 1).fail('VAULT_DENIED')
  }
  await login.grant('t4')
  t.strictSame(vault.seen, ['encrypt t1', 'encrypt t2', 'encrypt t3', 'encrypt t4'])
  await vault.call(3).answer(ok)
  t.equal(asked.ended, 'ok')
})

void test('tokens that are not ours, have expired, or are still in use are not revoked', async (t) => {
  const cases = {
    'a batch token': [{ revocable: false }, 't2', 70_000],
    'a token past its lease': [{}, 't2', 101_000],
    'the same token, renewed': [{}, 't1', 70_000],
  } as const
  for (const [name, [given, next, age]] of Object.entries(cases)) {
    const { session, login, clock, vault } = fixture()
    session.start()
    await login.grant('t1', given)
    await clock.advance(age)
    await login.grant(next)
    t.strictSame(vault.seen, [], name)
  }
})

void test('a revocation that fails harms nothing', async (t) => {
  const { vault, login, ask } = await loggedIn(70_000)
  await login.grant('t2')
  await vault.call(0).fail('VAULT_DENIED')
  const asked = ask()
  await settle()
  await vault.call(1).answer(ok)
  t.equal(asked.ended, 'ok')
})

void test('a failed renewal leaves the old token in use until its lease ends', async (t) => {
  const { session, login, vault, clock, ask, within } = await loggedIn(70_000)
  await login.fail('VAULT_UNREACHABLE')
  t.equal(session.fault, undefined, 'there is a usable token')
  ask()
  await settle()
  t.strictSame(vault.seen, ['encrypt t1'])
  while (clock.monotonic() < 100_000) {
    await clock.advance(100)
    if (login.calls.length > 0) await login.fail('VAULT_UNREACHABLE')
  }
  t.equal(session.fault?.code, 'VAULT_UNREACHABLE')
  t.equal(session.tokenExpiresAt, undefined)
  const asked = ask(within(100))
  await settle()
  await login.fail('VAULT_UNREACHABLE')
  t.equal(asked.ended, 'VAULT_UNREACHABLE')
  t.equal(vault.calls.length, 1, 'a token past its lease is not sent')
})

void test('a token that never ends is never renewed', async (t) => {
  const { session, login, clock, metrics } = fixture()
  session.start()
  await login.grant('t1', { leaseSeconds: Infinity })
  t.equal(clock.pending, 0)
  await clock.advance(1e12)
  t.equal(login.calls.length, 1)
  t.equal(session.tokenExpiresAt, Infinity)
  t.match(await metrics.registry.metrics(), /vault_token_expiry_timestamp_seconds \+Inf/)
})

void test('leases of a second or less do not cause a loop of logins', async (t) => {
  const { session, login, clock } = fixture()
  session.start()
  await login.grant('t1', { leaseSeconds: 1 })
  for (let tick = 0; tick < 100; tick += 1) {
    const count = login.calls.length
    await clock.advance(100)
    if (login.calls.length > count) await login.grant(`t${count}`, { leaseSeconds: 0.001 })
  }
  t.equal(login.calls.length, 11, 'ten seconds, one login a second')
})

void test('a timer that runs early, as the longest ones do, is set again', async (t) => {
  const { session, login, clock } = fixture()
  session.start()
  await login.grant('t1', { leaseSeconds: 100 * 86_400 })
  await clock.advance(69 * 86_400_000)
  t.equal(login.calls.length, 1)
  await clock.advance(1 * 86_400_000)
  t.equal(login.calls.length, 2)
})

void test('on a denial one forced login and one retry are made', async (t) => {
  const { vault, login, ask } = await loggedIn(10_000)
  const asked = ask()
  await settle()
  await vault.call(0).fail('VAULT_DENIED')
  await login.grant('t2')
  t.strictSame(vault.seen, ['encrypt t1', 'revoke_token t1', 'encrypt t2'])
  await vault.call(2).answer(ok)
  t.equal(asked.ended, 'ok')
  t.equal(login.calls.length, 2)
})

void test('a denial of the fresh token of a forced login is a real refusal', async (t) => {
  const { clock, vault, login, ask } = await loggedIn(10_000)
  const asked = ask()
  await settle()
  await vault.call(0).fail('VAULT_DENIED')
  await login.grant('t2')
  await denyUntilSettled(clock, vault, 2)
  t.equal(asked.ended, 'VAULT_DENIED')
  t.equal(login.calls.length, 2)
  const next = ask()
  await settle()
  await vault.call(7).fail('VAULT_DENIED')
  t.equal(next.ended, 'VAULT_DENIED', 'at once: the token has had its time')
  t.equal(login.calls.length, 2, 'a missing policy causes no login storm')
})

void test('a young token that Vault accepted and then denies was revoked: one login, at most every 5 s', async (t) => {
  const { vault, login, ask } = await loggedIn()
  ask()
  await settle()
  await vault.call(0).answer(ok)
  const asked = [ask(), ask()]
  await settle()
  await vault.call(1).fail('VAULT_DENIED')
  await vault.call(2).fail('VAULT_DENIED')
  await login.grant('t2')
  for (const call of vault.calls.slice(3)) await call.answer(ok)
  t.strictSame(new Set(asked.map(({ ended }) => ended)), new Set(['ok']))
  t.equal(login.calls.length, 2)
  const denied = ask()
  await settle()
  await vault.calls.at(-1)?.fail('VAULT_DENIED')
  t.equal(denied.ended, 'VAULT_DENIED', 'a policy that allows only some requests')
  t.equal(login.calls.length, 2)
})

/** Denies a request, beginning with a call, as often as a new token is tried. */
async function denyUntilSettled(clock: HandClock, vault: ScriptedVault, first: number) {
  for (const [index, pauseMs] of [100, 200, 400, 800, 0].entries()) {
    await vault.call(first + index).fail('VAULT_DENIED', 'denied again')
    await clock.advance(pauseMs)
  }
}

void test('a new token that a standby does not know yet is tried again', async (t) => {
  const { clock, vault, login, ask } = await loggedIn()
  const asked = ask()
  await settle()
  await vault.call(0).fail('VAULT_DENIED')
  await clock.advance(100)
  await vault.call(1).fail('VAULT_DENIED')
  await clock.advance(200)
  await vault.call(2).answer(ok)
  t.equal(asked.ended, 'ok')
  t.equal(login.calls.length, 1)
  const next = ask()
  await settle()
  await vault.call(3).fail('VAULT_DENIED')
  t.equal(next.ended, 'open')
  t.equal(login.calls.length, 2, 'once accepted, a denial means that it was revoked')
})

// As a refusal, it would zero the local keys of the plugin.
void test('a new token is not tried again beyond the deadline of the caller, and its denial is then an outage', async (t) => {
  const { clock, vault, ask, within } = await loggedIn()
  for (const [call, milliseconds, tries] of [
    [0, 50, 1],
    [1, 250, 2],
  ] as const) {
    const asked = ask(within(milliseconds))
    await settle()
    for (let count = 0; count < tries; count += 1) {
      await vault.call(call + count).fail('VAULT_DENIED')
      await clock.advance(100)
    }
    t.equal(asked.ended, 'VAULT_UNAVAILABLE')
    t.equal(vault.calls.length, call + tries)
  }
})

void test('a caller that disconnects while a new token is tried again sees no refusal', async (t) => {
  const { clock, vault, ask, within } = await loggedIn()
  const caller = new AbortController()
  const asked = ask({ ...within(3_000), signal: caller.signal })
  await settle()
  await vault.call(0).fail('VAULT_DENIED')
  caller.abort()
  await clock.advance(100)
  t.equal(asked.ended, 'VAULT_UNAVAILABLE')
})

void test('a token with few uses is replaced before they are spent', async (t) => {
  const { session, vault, login, ask, lines } = fixture()
  session.start()
  await login.grant('t1', { maxUses: 11 })
  t.equal(session.tokenMaxUses, 11)
  for (let use = 0; use < 30; use += 1) {
    const asked = ask()
    await settle()
    await vault.call(vault.calls.length - 1).answer(ok)
    t.equal(asked.ended, 'ok')
    const next = login.calls.length
    if (next > 1 && session.tokenMaxUses !== undefined) await grantOpen(login, `t${next}`)
  }
  const uses = new Map<string, number>()
  for (const seen of vault.seen) {
    const token = seen.split(' ')[1] ?? ''
    uses.set(token, (uses.get(token) ?? 0) + 1)
  }
  t.ok(Math.max(...uses.values()) <= 11, 'Vault is never asked more often than it allows')
  t.ok(login.calls.length <= 5)
  t.equal(lines.filter(({ msg }) => /token_num_uses=0/.test(msg)).length, 1)
})

/** Ends the newest login with a token that has few uses, if it is still open. */
async function grantOpen(login: ScriptedLogin, token: string): Promise<void> {
  const open = await Promise.race([
    login.call(login.calls.length - 1).result.then(() => false),
    settle().then(() => true),
  ])
  if (open) await login.grant(token, { maxUses: 11 })
}

void test('requests that wait for a login share the uses of its token', async (t) => {
  const { vault, login, ask } = fixture()
  const asked = [ask(), ask(), ask()]
  for (const token of ['t1', 't2', 't3']) {
    await login.grant(token, { maxUses: 1, revocable: false })
    await vault.call(vault.calls.length - 1).answer(ok)
  }
  t.strictSame(vault.seen, ['encrypt t1', 'encrypt t2', 'encrypt t3'])
  t.strictSame(new Set(asked.map(({ ended }) => ended)), new Set(['ok']))
})

void test('a limited token that Vault denies early is replaced, because its uses may be spent', async (t) => {
  const { vault, login, ask } = fixture()
  ask()
  await login.grant('t1', { maxUses: 100 })
  await vault.call(0).answer(ok)
  const asked = ask()
  await settle()
  await vault.call(1).fail('VAULT_DENIED')
  await login.grant('t2', { maxUses: 100 })
  t.strictSame(vault.seen.at(-1), 'encrypt t2')
  await vault.call(vault.calls.length - 1).answer(ok)
  t.equal(asked.ended, 'ok')
})

void test('a credential that is held back does not count as another login', async (t) => {
  const { clock, vault, metrics } = fixture()
  const { log } = memoryLog()
  const refusal = new BridgeError('LOGIN_REFUSED', 'refused')
  const login = { method: 'scripted', login: () => Promise.reject(refusal) }
  const session = createVaultSession({ client: vault, login, clock, log, metrics })
  session.start()
  await clock.advance(60_000)
  const { values } = await metrics.vaultLogins.get()
  t.equal(values[0]?.value, 1)
})

void test('a denial that arrives after another request logged in is retried without a login', async (t) => {
  const { vault, login, ask } = await loggedIn(70_000)
  const asked = ask()
  await settle()
  await login.grant('t2')
  await vault.call(0).fail('VAULT_DENIED')
  t.strictSame(vault.seen, ['encrypt t1', 'revoke_token t1', 'encrypt t2'])
  await vault.call(2).answer(ok)
  t.equal(asked.ended, 'ok')
  t.equal(login.calls.length, 2)
})

void test('many denials of one token cause one forced login', async (t) => {
  const { vault, login, ask } = await loggedIn(10_000)
  const asked = Array.from({ length: 10 }, () => ask())
  await settle()
  for (const call of vault.calls.slice(0, 10)) await call.fail('VAULT_DENIED')
  await login.grant('t2')
  for (const call of vault.calls.slice(10)) await call.answer(ok)
  t.equal(login.calls.length, 2)
  t.strictSame(new Set(asked.map(({ ended }) => ended)), new Set(['ok']))
})

void test('when the forced login fails the request fails with its error, and the next one at once', async (t) => {
  const { session, vault, login, ask } = await loggedIn(10_000)
  const asked = ask()
  await settle()
  await vault.call(0).fail('VAULT_DENIED')
  await login.fail('LOGIN_REFUSED')
  t.equal(asked.ended, 'LOGIN_REFUSED')
  t.equal(session.fault?.code, 'LOGIN_REFUSED', 'Vault denies the token that is left')
  const next = ask()
  await settle()
  await vault.call(1).fail('VAULT_DENIED')
  t.equal(next.ended, 'LOGIN_REFUSED')
  t.equal(login.calls.length, 2)
  ask()
  await settle()
  await vault.call(2).answer(ok)
  t.equal(session.fault, undefined, 'it was good for something after all')
})

void test('an error that is not a denial passes through without a login', async (t) => {
  for (const code of ['VAULT_SEALED', 'VAULT_REJECTED', 'VAULT_NOT_FOUND', 'CANCELLED'] as const) {
    const { vault, login, ask } = await loggedIn(10_000)
    const asked = ask()
    await settle()
    await vault.call(0).fail(code)
    t.equal(asked.ended, code)
    t.equal(login.calls.length, 1)
  }
})

void test('stop revokes the token of the session and ends its timers', async (t) => {
  const { session, vault, clock, within, ask, metrics } = await loggedIn()
  const context = within(1_000)
  const stopped = outcome(session.stop(context))
  await settle()
  t.strictSame(vault.seen, ['revoke_token t1'])
  t.equal(vault.call(0).given.path, 'auth/token/revoke-self')
  t.equal(vault.call(0).context, context)
  await vault.call(0).answer({ status: 204, body: undefined })
  t.equal(stopped.ended, 'ok')
  t.equal(clock.pending, 0)
  const asked = ask()
  await settle()
  t.equal(asked.ended, 'CANCELLED')
  t.notMatch(await metrics.registry.metrics(), /^transit_bridge_vault_token_expiry\w+ /m)
})

void test('stop waits for requests in flight and then revokes', async (t) => {
  const { session, vault, within, ask } = await loggedIn()
  ask()
  await settle()
  const stopped = outcome(session.stop(within(1_000)))
  await settle()
  t.strictSame(vault.seen, ['encrypt t1'])
  await vault.call(0).answer(ok)
  await vault.call(1).answer(ok)
  t.strictSame(vault.seen, ['encrypt t1', 'revoke_token t1'])
  t.equal(stopped.ended, 'ok')
})

void test('stop ends at its deadline even when Vault does not answer', async (t) => {
  const { session, clock, within } = await loggedIn()
  const stopped = outcome(session.stop(within(1_000)))
  await clock.advance(1_001)
  t.equal(stopped.ended, 'ok')
})

void test('stop during a login revokes the token that it returns, and no request uses it', async (t) => {
  const { session, vault, login, within, ask } = fixture()
  const asked = ask()
  const stopped = outcome(session.stop(within(1_000)))
  await login.grant('t1')
  t.strictSame(vault.seen, ['revoke_token t1'])
  t.equal(asked.ended, 'CANCELLED')
  await vault.call(0).answer(ok)
  t.equal(stopped.ended, 'ok')
})

void test('start and stop may come twice, and a start after a stop does nothing', async (t) => {
  const { session, login, vault, within } = fixture()
  session.start()
  session.start()
  await login.grant('t1')
  const stops = [outcome(session.stop(within(1_000))), outcome(session.stop(within(1_000)))]
  await settle()
  await vault.call(0).answer(ok)
  t.strictSame(
    stops.map(({ ended }) => ended),
    ['ok', 'ok'],
  )
  session.start()
  t.equal(login.calls.length, 1)
  t.strictSame(vault.seen, ['revoke_token t1'])
})

void test('a denial after a stop causes no login', async (t) => {
  const { session, vault, login, within, ask } = await loggedIn(10_000)
  const asked = ask()
  await settle()
  const stopped = session.stop(within(1_000))
  await vault.call(0).fail('VAULT_DENIED')
  t.equal(asked.ended, 'VAULT_DENIED')
  await vault.call(1).answer(ok)
  await stopped
  t.equal(login.calls.length, 1)
})

void test('stop does not revoke a token that is not ours', async (t) => {
  const { session, login, vault, within } = fixture()
  session.start()
  await login.grant('t1', { revocable: false })
  await session.stop(within(1_000))
  t.strictSame(vault.seen, [])
})

void test('a lasting failure is one warning, a reminder a minute, and one line when it ends', async (t) => {
  const { session, login, clock, lines } = fixture()
  session.start()
  while (clock.monotonic() < 150_000) {
    await login.fail(clock.monotonic() % 2 === 0 ? 'VAULT_UNREACHABLE' : 'VAULT_TIMEOUT')
    const count = login.calls.length
    while (login.calls.length === count) await clock.advance(100)
  }
  await login.grant('t1')
  t.strictSame(
    lines.map(({ level }) => level),
    ['warn', 'warn', 'warn', 'info'],
  )
  t.match(lines.at(-1)?.msg, /logged in to Vault again after 2 min of failures/)
})

void test('another kind of failure is reported', async (t) => {
  const { session, login, clock, lines } = fixture()
  session.start()
  await login.fail('IDENTITY_MISSING')
  await clock.advance(500)
  await login.fail('LOGIN_REFUSED')
  t.strictSame(
    lines.map(({ level, code }) => [level, code]),
    [
      ['warn', 'IDENTITY_MISSING'],
      ['warn', 'LOGIN_REFUSED'],
    ],
  )
})

void test('a login is one line with its method and expiry, and no token', async (t) => {
  const { lines } = await loggedIn()
  t.strictSame(lines, [
    {
      level: 'info',
      method: 'scripted',
      expires_at: '2026-01-01T00:01:40.000Z',
      msg: 'logged in to Vault; the token expires in 100 s',
    },
  ])
})

void test('logins are counted by method and outcome, and the expiry is a gauge', async (t) => {
  const { session, login, clock, metrics } = fixture()
  const gauge = async () => (await metrics.vaultTokenExpiry.get()).values[0]?.value
  session.start()
  await login.fail('VAULT_SEALED')
  t.equal(await gauge(), undefined, 'no series without a token')
  const failing = async () => (await metrics.loginsFailingSince.get()).values
  const start = clock.now() / 1000
  t.match(await failing(), [{ labels: { method: 'scripted', code: 'VAULT_SEALED' }, value: start }])
  await clock.advance(500)
  await login.grant('t1')
  t.equal(await gauge(), (session.tokenExpiresAt ?? 0) / 1000)
  t.same(await failing(), [])
  const { values } = await metrics.vaultLogins.get()
  t.strictSame(
    values.map(({ labels, value }) => ({ ...labels, value })),
    [
      { method: 'scripted', outcome: 'VAULT_SEALED', value: 1 },
      { method: 'scripted', outcome: 'ok', value: 1 },
    ],
  )
})

void test('the wall clock may jump without changing the lease', async (t) => {
  const { clock, session, login } = await loggedIn()
  clock.epoch += 365 * 86_400_000
  await clock.advance(69_000)
  t.equal(login.calls.length, 1)
  t.equal(session.fault, undefined)
})
