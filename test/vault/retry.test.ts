import { test } from 'tap'
import { BridgeError, type ErrorCode } from '../../src/errors.ts'
import { AddressBook } from '../../src/vault/client/addresses/address-book.ts'
import { AttemptFailure, type Retry } from '../../src/vault/client/attempt.ts'
import { RetryPlan } from '../../src/vault/client/retry.ts'

const LONG = 60_000

const failure = (code: ErrorCode, retry: Retry, waitMs?: number) =>
  new AttemptFailure(new BridgeError(code, code), retry, waitMs)
const down = failure('VAULT_UNREACHABLE', 'soon')
const stale = failure('VAULT_UNREACHABLE', 'at-once')
const denied = failure('VAULT_DENIED', 'ask-others')
const rejected = failure('VAULT_REJECTED', 'never')
const rejectedLogin = failure('VAULT_REJECTED', 'ask-others')
const untrusted = failure('VAULT_TLS_INVALID', 'elsewhere')

function bookOf(count: number): AddressBook {
  return new AddressBook(
    Array.from({ length: count }, (_, index) => `http://vault-${String(index)}`),
  )
}

const planOf = (count: number, random = 0.5) => new RetryPlan(bookOf(count), () => random)
const codeOf = (next: number | BridgeError) => (typeof next === 'number' ? next : next.code)

void test('one address is tried again until the deadline, with waits that double up to half a second', async (t) => {
  const plan = planOf(1, 1)
  const waits = []
  let leftMs = 20_000
  for (let next = plan.next(down, leftMs, true); typeof next === 'number';) {
    waits.push(next)
    leftMs -= next
    next = plan.next(down, leftMs, true)
  }
  t.strictSame(waits.slice(0, 3), [250, 500, 500])
  t.ok(leftMs <= 500, `${String(leftMs)} ms are left`)
  t.equal(codeOf(plan.next(down, leftMs, true)), 'VAULT_UNREACHABLE')
})

void test('a request of a command is tried again for a limited time', async (t) => {
  const plan = new RetryPlan(bookOf(1), () => 1, { maxRetryWaitMs: 1_000 })
  for (const waitMs of [250, 500, 500]) t.equal(plan.next(down, LONG, true), waitMs)
  t.equal(codeOf(plan.next(down, LONG, true)), 'VAULT_UNREACHABLE')
})

void test('a request that fails fast is tried again for two seconds', async (t) => {
  const plan = new RetryPlan(bookOf(1), () => 1, { failsFast: true })
  for (const waitMs of [250, 500, 500, 500, 500]) t.equal(plan.next(down, LONG, true), waitMs)
  t.equal(codeOf(plan.next(down, LONG, true)), 'VAULT_UNREACHABLE')
})

void test('a call does not give up while more than half a second is left before its deadline', async (t) => {
  for (const random of [0, 0.5, 1]) {
    const plan = planOf(1, random)
    let leftMs = 2_900
    for (let next = plan.next(down, leftMs, true); typeof next === 'number';) {
      leftMs -= next
      next = plan.next(down, leftMs, true)
    }
    t.ok(leftMs <= 500, `${String(leftMs)} ms are left`)
  }
})

void test('several addresses are tried again after a wait, as during an election', async (t) => {
  const plan = planOf(3)
  const indexes = []
  for (const waitMs of [0, 0, 150, 0, 0, 300]) {
    indexes.push(plan.index)
    t.equal(plan.next(down, LONG, true), waitMs)
  }
  t.strictSame(indexes, [0, 1, 2, 0, 1, 2])
})

void test('an untrusted address does not keep the others from being tried again', async (t) => {
  const plan = planOf(2)
  t.equal(plan.next(down, LONG, true), 0)
  t.equal(plan.next(untrusted, LONG, true), 150)
  t.equal(plan.index, 0)
})

void test('an address that refused a request is not asked again in the same call', async (t) => {
  const plan = planOf(2)
  const asked = []
  for (const failed of [rejectedLogin, down, down, down, down, down]) {
    asked.push(plan.index)
    plan.next(failed, LONG, true)
  }
  t.strictSame(asked, [0, 1, 1, 1, 1, 1])
})

void test('the refusal of a proven address does not wait for another one that is down', async (t) => {
  const book = bookOf(2)
  book.prove(0)
  const plan = new RetryPlan(book, () => 0)
  t.equal(plan.next(denied, LONG, true), 0)
  t.equal(codeOf(plan.next(down, LONG, true)), 'VAULT_DENIED')
})

void test('while it is tried again, its reason is that of the proven address, not of another Vault', (t) => {
  const book = bookOf(2)
  book.prove(0)
  const plan = new RetryPlan(book, () => 0.5)
  plan.next(down, LONG, true)
  t.equal(plan.index, 1)
  plan.next(failure('VAULT_UNAVAILABLE', 'elsewhere'), LONG, true)
  t.equal(plan.reason?.code, 'VAULT_UNREACHABLE')
  t.end()
})

void test('waits lie between 50 and 250 ms', async (t) => {
  t.equal(planOf(1, 0).next(down, LONG, true), 50)
  t.equal(planOf(1, 1).next(down, LONG, true), 250)
})

void test('a wait that does not fit the deadline is not started', async (t) => {
  t.equal(codeOf(planOf(1).next(down, 150, true)), 'VAULT_UNREACHABLE')
})

void test('the next address is tried at once, and kept for later calls', async (t) => {
  const book = bookOf(2)
  const plan = new RetryPlan(book, () => 0)
  t.equal(plan.next(down, LONG, true), 0)
  t.equal(plan.index, 1)
  t.equal(new RetryPlan(book, () => 0).index, 1)
})

void test('callers that fail at the same address move to the next one together', async (t) => {
  const book = bookOf(3)
  const plans = [1, 2, 3].map(() => new RetryPlan(book, () => 0))
  for (const plan of plans) plan.next(down, LONG, true)
  t.strictSame(
    plans.map(({ index }) => index),
    [1, 1, 1],
  )
})

void test('of many dead addresses three are tried without a wait, and the next call continues from there', async (t) => {
  const book = bookOf(5)
  const plan = new RetryPlan(book, () => 0)
  plan.next(down, LONG, true)
  plan.next(down, LONG, true)
  t.equal(plan.next(down, LONG, true), 50)
  t.equal(book.current, 3)
})

void test('a rate limit that lasts longer than all waits of a request is not awaited', (t) => {
  const limited = failure('VAULT_RATE_LIMITED', 'later', 7_000)
  for (const limits of [{ failsFast: true }, { maxRetryWaitMs: 5_000 }]) {
    const plan = new RetryPlan(bookOf(2), () => 0, limits)
    t.equal(plan.next(limited, LONG, true), 0, 'another address')
    t.equal(codeOf(plan.next(limited, LONG, true)), 'VAULT_RATE_LIMITED')
  }
  t.equal(planOf(1).next(limited, LONG, true), 7_000, 'a served call waits')
  t.end()
})

void test('an address with a fault that does not end without a change is tried twice more, for another node behind it', async (t) => {
  const plan = planOf(1)
  for (const waitMs of [150, 300]) t.equal(plan.next(untrusted, LONG, true), waitMs)
  t.equal(codeOf(plan.next(untrusted, LONG, true)), 'VAULT_TLS_INVALID')
})

void test('a stale connection costs no wait the first time', async (t) => {
  const plan = planOf(2)
  t.equal(plan.next(stale, LONG, true), 0)
  t.equal(plan.index, 0)
  t.equal(plan.next(stale, LONG, true), 0)
  t.equal(plan.index, 1)
})

void test('a rate limit is waited for at the same address if that fits', async (t) => {
  const plan = planOf(2)
  t.equal(plan.next(failure('VAULT_RATE_LIMITED', 'later', 1000), 2000, true), 1000)
  t.equal(plan.index, 0)
})

void test('a rate limit that outlasts the call is reported after the other addresses were asked', async (t) => {
  const limited = failure('VAULT_RATE_LIMITED', 'later', 3000)
  const book = bookOf(2)
  const plan = new RetryPlan(book, () => 0)
  t.equal(plan.next(limited, 2000, true), 0)
  t.equal(plan.index, 1)
  t.equal(book.current, 1, 'later requests start there, too')
  t.equal(codeOf(plan.next(limited, 2000, true)), 'VAULT_RATE_LIMITED')
})

void test('a rate limit that outlasts the time that a request may wait is not waited for', async (t) => {
  const limited = failure('VAULT_RATE_LIMITED', 'later', 7_000)
  for (const limits of [{ failsFast: true }, { maxRetryWaitMs: 5_000 }]) {
    const plan = new RetryPlan(bookOf(2), () => 0, limits)
    t.equal(plan.next(limited, LONG, true), 0)
    t.equal(plan.index, 1)
    t.equal(codeOf(plan.next(limited, LONG, true)), 'VAULT_RATE_LIMITED')
  }
  const plan = new RetryPlan(bookOf(1), () => 0, { failsFast: true })
  t.equal(plan.next(failure('VAULT_RATE_LIMITED', 'later', 1_500), LONG, true), 1_500)
  t.equal(
    codeOf(plan.next(failure('VAULT_RATE_LIMITED', 'later', 600), LONG, true)),
    'VAULT_RATE_LIMITED',
  )
})

void test('a rate limit that says it has passed causes no requests without a wait', async (t) => {
  const plan = planOf(1)
  const limited = failure('VAULT_RATE_LIMITED', 'later', 0)
  for (const waitMs of [150, 300, 300]) t.equal(plan.next(limited, LONG, true), waitMs)
})

void test('a rejected request is not tried again where the address was proven', async (t) => {
  const book = bookOf(2)
  book.prove(0)
  const plan = new RetryPlan(book, () => 0)
  t.equal(codeOf(plan.next(rejected, LONG, true)), 'VAULT_REJECTED')
})

void test('a refusal of an address that was not proven is believed after all others were asked', async (t) => {
  for (const refusal of [rejected, denied]) {
    const plan = planOf(2)
    t.equal(plan.next(refusal, LONG, true), 0)
    t.equal(plan.index, 1)
    t.equal(codeOf(plan.next(refusal, LONG, true)), refusal.error.code)
  }
})

void test('a rejection that Vault counts is not checked at other addresses if the address was proven', (t) => {
  const book = bookOf(3)
  for (const index of [0, 1, 2]) book.prove(index)
  const plan = new RetryPlan(book, () => 0, { countsRefusals: true })
  t.equal(codeOf(plan.next(rejectedLogin, LONG, true)), 'VAULT_REJECTED')
  const other = new RetryPlan(book, () => 0, { countsRefusals: true })
  t.equal(other.next(denied, LONG, true), 0, 'a denial is not counted')
  t.end()
})

void test('a rejection that Vault counts is checked only at proven addresses if the address was not proven', (t) => {
  const book = bookOf(4)
  book.prove(2)
  const plan = new RetryPlan(book, () => 0, { countsRefusals: true })
  t.equal(plan.next(rejectedLogin, LONG, true), 0)
  t.equal(plan.index, 2)
  for (let more = 0; more < 5; more += 1) {
    t.type(plan.next(down, LONG, true), 'number')
    t.equal(plan.index, 2)
  }
  t.equal(codeOf(plan.next(rejectedLogin, LONG, true)), 'VAULT_REJECTED')
  t.end()
})

void test('a rejection that Vault counts is checked at addresses of other clusters if no address was proven', (t) => {
  const book = bookOf(4)
  const plan = new RetryPlan(book, () => 0, { countsRefusals: true })
  t.same(plan.rejectedBy(rejectedLogin), new Set([0]))
  plan.countApart(new Set([2, 3]))
  t.equal(plan.next(rejectedLogin, LONG, true), 0)
  t.equal(plan.index, 2)
  t.equal(plan.rejectedBy(down), undefined)
  t.same(plan.rejectedBy(rejectedLogin), new Set([0, 2]))
  plan.countApart(new Set())
  t.equal(codeOf(plan.next(rejectedLogin, LONG, true)), 'VAULT_REJECTED')
  book.prove(3)
  t.equal(plan.rejectedBy(rejectedLogin), undefined, 'a proven address knows better')
  t.end()
})

void test('a rejection that Vault counts ends the login if no address was proven, and the next one starts elsewhere', (t) => {
  const book = bookOf(3)
  const plan = new RetryPlan(book, () => 0, { countsRefusals: true })
  t.equal(codeOf(plan.next(rejectedLogin, LONG, true)), 'VAULT_REJECTED')
  t.equal(book.current, 1)
  t.end()
})

void test('the others are asked about a denial of a proven address, too, and may contradict it', async (t) => {
  const book = bookOf(2)
  book.prove(0)
  const plan = new RetryPlan(book, () => 0)
  t.equal(plan.next(denied, LONG, true), 0)
  t.equal(book.current, 0, 'one refusal does not move other requests')
  plan.succeed()
  t.equal(book.current, 1)
  t.equal(book.isProven(0), false)
})

void test('a proven address that is down outranks a refusal of another one, in any order', async (t) => {
  for (const order of [
    [down, denied],
    [denied, down],
  ] as const) {
    const book = bookOf(2)
    const proven = order.indexOf(down)
    book.prove(proven)
    const plan = new RetryPlan(book, () => 0)
    plan.next(order[0], LONG, true)
    t.equal(codeOf(plan.next(order[1], 0, true)), 'VAULT_UNREACHABLE')
  }
})

void test('the refusal of a proven address outranks an outage of another one', async (t) => {
  const book = bookOf(2)
  book.prove(0)
  book.prove(1)
  const plan = new RetryPlan(book, () => 0)
  plan.next(down, LONG, true)
  t.equal(codeOf(plan.next(denied, LONG, true)), 'VAULT_DENIED')
})

void test('proven addresses are tried before the others', async (t) => {
  const book = bookOf(3)
  book.prove(2)
  const plan = new RetryPlan(book, () => 0)
  plan.next(down, LONG, true)
  t.equal(plan.index, 2)
})

void test('a request that must not be repeated is not tried again', async (t) => {
  t.equal(codeOf(planOf(3).next(down, LONG, false)), 'VAULT_UNREACHABLE')
})

void test('an outage stays the reason when another address is misconfigured or time runs out', async (t) => {
  for (const last of [untrusted, failure('DEADLINE_EXCEEDED', 'never')]) {
    const plan = planOf(2)
    plan.next(down, LONG, true)
    t.equal(codeOf(plan.next(last, 0, true)), 'VAULT_UNREACHABLE')
  }
  const plan = planOf(2)
  plan.next(untrusted, LONG, true)
  plan.next(down, LONG, true)
  t.equal(codeOf(plan.next(untrusted, 0, true)), 'VAULT_UNREACHABLE')
})

void test('a final response of Vault and a caller that disconnected outrank an earlier outage', async (t) => {
  for (const code of ['VAULT_DENIED', 'CANCELLED'] as const) {
    const plan = planOf(2)
    plan.next(down, LONG, true)
    t.equal(codeOf(plan.next(failure(code, 'never'), 0, true)), code)
  }
})

void test('a request waits longer after each silence, and all requests of an operation wait longer after a slow answer', (t) => {
  const book = bookOf(2)
  const plan = new RetryPlan(book, () => 0)
  const another = () => new RetryPlan(book, () => 0)
  t.equal(plan.patienceFor('decrypt'), 750)
  plan.next(failure('VAULT_TIMEOUT', 'soon'), LONG, true)
  t.equal(plan.patienceFor('decrypt'), 1_500)
  plan.next(down, LONG, true)
  t.equal(plan.patienceFor('decrypt'), 1_500)
  t.equal(another().patienceFor('decrypt'), 750, 'another request is not')
  book.noteAnswer('decrypt', 400)
  t.equal(another().patienceFor('decrypt'), 1_600)
  book.noteAnswer('login', 900)
  t.equal(another().patienceFor('decrypt'), 1_600, 'another operation is not')
  book.noteAnswer('decrypt', 10)
  t.equal(another().patienceFor('decrypt'), 750)
  t.equal(another().patienceFor('login'), 3_600)
  t.end()
})
