import { test } from 'tap'
import { BridgeError, type ErrorCode } from '../../src/errors.ts'
import { AddressBook } from '../../src/vault/client/address-book.ts'
import { AttemptFailure, type Retry } from '../../src/vault/client/attempt.ts'
import { RetryPlan } from '../../src/vault/client/retry.ts'

const LONG = 60_000

const failure = (code: ErrorCode, retry: Retry, waitMs?: number) =>
  new AttemptFailure(new BridgeError(code, code), retry, waitMs)
const down = failure('VAULT_UNREACHABLE', 'soon')
const sealed = failure('VAULT_SEALED', 'elsewhere')
const stale = failure('VAULT_UNREACHABLE', 'at-once')
const untrusted = failure('VAULT_TLS_INVALID', 'elsewhere')

function bookOf(count: number): AddressBook {
  return new AddressBook(
    Array.from({ length: count }, (_, index) => `http://vault-${String(index)}`),
  )
}

const planOf = (count: number, random = 0.5) => new RetryPlan(bookOf(count), () => random)
const codeOf = (next: number | BridgeError) => (typeof next === 'number' ? next : next.code)

void test('one address is tried three times with waits in between', async (t) => {
  const plan = planOf(1)
  t.equal(plan.next(down, LONG, true), 150)
  t.equal(plan.next(down, LONG, true), 150)
  t.equal(codeOf(plan.next(down, LONG, true)), 'VAULT_UNREACHABLE')
})

void test('waits lie between 50 and 250 ms', async (t) => {
  t.equal(planOf(1, 0).next(down, LONG, true), 50)
  t.equal(planOf(1, 1).next(down, LONG, true), 250)
})

void test('a wait that does not fit the deadline is not begun', async (t) => {
  t.equal(codeOf(planOf(1).next(down, 150, true)), 'VAULT_UNREACHABLE')
})

void test('the next address is tried at once, and kept for later calls', async (t) => {
  const book = bookOf(2)
  const plan = new RetryPlan(book, () => 0)
  t.equal(plan.next(down, LONG, true), 0)
  t.equal(plan.index, 1)
  t.equal(new RetryPlan(book, () => 0).index, 1)
})

void test('callers that fail at the same address move on by one, not by one each', async (t) => {
  const book = bookOf(3)
  const plans = [1, 2, 3].map(() => new RetryPlan(book, () => 0))
  for (const plan of plans) plan.next(down, LONG, true)
  t.strictSame(
    plans.map(({ index }) => index),
    [1, 1, 1],
  )
})

void test('many dead addresses cost three attempts a call, and the next call goes on from there', async (t) => {
  const book = bookOf(5)
  const plan = new RetryPlan(book, () => 0)
  plan.next(down, LONG, true)
  plan.next(down, LONG, true)
  t.equal(codeOf(plan.next(down, LONG, true)), 'VAULT_UNREACHABLE')
  t.equal(book.current, 3)
})

void test('a sealed vault is not asked again, another address is', async (t) => {
  t.equal(codeOf(planOf(1).next(sealed, LONG, true)), 'VAULT_SEALED')
  const plan = planOf(2)
  t.equal(plan.next(sealed, LONG, true), 0)
  t.equal(codeOf(plan.next(sealed, LONG, true)), 'VAULT_SEALED')
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
  t.equal(
    codeOf(plan.next(failure('VAULT_RATE_LIMITED', 'later', 3000), 2000, true)),
    'VAULT_RATE_LIMITED',
  )
})

void test('what vault refuses is not tried again', async (t) => {
  t.equal(codeOf(planOf(3).next(failure('VAULT_DENIED', 'never'), LONG, true)), 'VAULT_DENIED')
})

void test('what may not be repeated is not tried again', async (t) => {
  t.equal(codeOf(planOf(3).next(down, LONG, false)), 'VAULT_UNREACHABLE')
})

void test('an outage stays the reason when another address is merely wrong or time runs out', async (t) => {
  for (const last of [untrusted, failure('DEADLINE_EXCEEDED', 'never')]) {
    const plan = planOf(2)
    plan.next(down, LONG, true)
    t.equal(codeOf(plan.next(last, LONG, true)), 'VAULT_UNREACHABLE')
  }
  const plan = planOf(2)
  plan.next(untrusted, LONG, true)
  plan.next(down, LONG, true)
  t.equal(codeOf(plan.next(untrusted, LONG, true)), 'VAULT_UNREACHABLE')
})

void test('what vault says in the end, and a caller that went away, stand above an outage before', async (t) => {
  for (const code of ['VAULT_DENIED', 'CANCELLED'] as const) {
    const plan = planOf(2)
    plan.next(down, LONG, true)
    t.equal(codeOf(plan.next(failure(code, 'never'), LONG, true)), code)
  }
})
