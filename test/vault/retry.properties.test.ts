import { equal, ok } from 'node:assert/strict'
import fc from 'fast-check'

import { BridgeError, type ErrorCode } from '../../src/errors.ts'
import { AddressBook } from '../../src/vault/client/addresses/address-book.ts'
import { AttemptFailure, type Retry } from '../../src/vault/client/attempt.ts'
import { RetryPlan } from '../../src/vault/client/retry.ts'
import { readWait } from '../../src/vault/client/retry-after.ts'
import { holds } from '../property.ts'

const KINDS: readonly (readonly [Retry, ErrorCode])[] = [
  ['never', 'VAULT_REJECTED'],
  ['never', 'CANCELLED'],
  ['ask-others', 'VAULT_DENIED'],
  ['ask-others', 'VAULT_NOT_FOUND'],
  ['elsewhere', 'VAULT_TLS_INVALID'],
  ['elsewhere', 'VAULT_ANSWER_INVALID'],
  ['soon', 'VAULT_UNREACHABLE'],
  ['soon', 'DEADLINE_EXCEEDED'],
  ['at-once', 'VAULT_UNREACHABLE'],
  ['later', 'VAULT_RATE_LIMITED'],
  ['sparingly', 'VAULT_TIMEOUT'],
]

/** A failed attempt: how long it took, what failed, and the wait that Vault asked for. */
const attempt = fc.record({
  kind: fc.constantFrom(...KINDS, ...KINDS.slice(6)),
  tookMs: fc.oneof(fc.constant(0), fc.nat({ max: 1_500 })),
  askedMs: fc.oneof(
    fc.constant(undefined),
    fc.nat({ max: 8_000 }),
    fc.constantFrom(0, 86_400_000, Infinity),
  ),
})
const fraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const input = fc.record({
  addresses: fc.integer({ min: 1, max: 4 }),
  proven: fc.uniqueArray(fc.nat({ max: 3 }), { maxLength: 4 }),
  // The longest time of any call is 30 s (src/grpc/call-times.ts).
  leftMs: fc.oneof(fc.nat({ max: 12_000 }), fc.constant(30_000)),
  failsFast: fc.boolean(),
  maxRetryWaitMs: fc.constantFrom(undefined, 5_000),
  random: fc.array(fraction, { minLength: 1, maxLength: 5 }),
  attempts: fc.array(attempt, { minLength: 1, maxLength: 8 }),
})

type Input = typeof input extends fc.Arbitrary<infer Value> ? Value : never

interface Try {
  readonly index: number
  readonly failure: AttemptFailure
  readonly isProven: boolean
  readonly leftMs: number
  readonly next: number | BridgeError
}

/** The attempts of a request that fails in the given ways, over and over, until its plan returns an error. */
function run({ addresses, proven, leftMs, random, attempts, ...limits }: Input): readonly Try[] {
  const book = new AddressBook(
    Array.from({ length: addresses }, (_, index) => `http://vault-${String(index)}`),
  )
  for (const index of proven) if (index < addresses) book.prove(index)
  let draws = 0
  const plan = new RetryPlan(book, () => random[draws++ % random.length] ?? 0, limits)
  const tries: Try[] = []
  let left = leftMs
  while (tries.length < 1_000) {
    for (const { kind, tookMs, askedMs } of attempts) {
      const [retry, code] = kind
      left -= Math.min(tookMs, left)
      const { index } = plan
      ok(index >= 0 && index < addresses)
      const isProven = book.isProven(index)
      const waitMs = retry === 'later' ? askedMs : undefined
      const failure = new AttemptFailure(new BridgeError(code, code), retry, waitMs)
      const next = plan.next(failure, left, true)
      tries.push({ index, failure, isProven, leftMs: left, next })
      if (typeof next !== 'number') return tries
      left -= next
    }
  }
  throw new Error('the plan never ends')
}

holds(
  'a request never waits until its deadline or longer, and ends after a limited number of attempts',
  [input],
  (given) => {
    const tries = run(given)
    let waitedMs = 0
    for (const { next, leftMs } of tries) {
      if (typeof next !== 'number') continue
      ok(next >= 0 && next < leftMs, `waits ${String(next)} with ${String(leftMs)} left`)
      const maxWaitedMs = given.failsFast ? 2_000 : (given.maxRetryWaitMs ?? Infinity)
      ok(waitedMs < maxWaitedMs || next === 0)
      waitedMs += next
      ok(waitedMs <= maxWaitedMs + 500, `waits ${String(waitedMs)} in all`)
    }
    ok(waitedMs < given.leftMs || waitedMs === 0)
  },
  500,
)

holds(
  'no address is asked more than three times without a wait, and a wait has at least 50 ms',
  [input],
  (given) => {
    let atOnce = 0
    for (const { next } of run(given)) {
      atOnce = next === 0 ? atOnce + 1 : 0
      // One more over a new connection, if the old one was stale.
      ok(atOnce <= 3, `${String(atOnce)} attempts at once`)
      if (typeof next === 'number' && next > 0) ok(next >= 50, String(next))
    }
  },
  500,
)

holds(
  'a request that may be slow is sent again after two silences, and not after a third one',
  [input],
  (given) => {
    const silent = run(given).filter(({ failure }) => failure.retry === 'sparingly')
    ok(silent.filter(({ next }) => typeof next === 'number').length <= 2)
  },
  500,
)

holds(
  'Vault is not asked again before the time that it asked to wait, unless another address is tried',
  [input],
  (given) => {
    const tries = run(given)
    for (const [at, { index, failure, next }] of tries.entries()) {
      const { waitMs } = failure
      if (failure.retry !== 'later' || waitMs === undefined || typeof next !== 'number') continue
      ok(next >= waitMs || tries[at + 1]?.index !== index)
    }
  },
  500,
)

holds(
  'an address that is not proven and refused is not asked again; a final failure ends the request',
  [input],
  (given) => {
    const refused = new Set<number>()
    for (const { index, failure, isProven, next } of run(given)) {
      ok(!refused.has(index), `address ${String(index)} is asked again`)
      const isRefusal = ['VAULT_REJECTED', 'VAULT_DENIED', 'VAULT_NOT_FOUND'].includes(
        failure.error.code,
      )
      if (isRefusal && !isProven) refused.add(index)
      if (failure.retry === 'ask-others') refused.add(index)
      if (failure.retry === 'never' && (isProven || !isRefusal)) equal(typeof next, 'object')
    }
  },
  500,
)

const header = fc.oneof(
  fc.constant(undefined),
  fc.nat().map(String),
  fc.constantFrom(
    '',
    ' 7 ',
    '-1',
    '1e3',
    '0x10',
    '1.5',
    'Infinity',
    '9'.repeat(400),
    'soon',
    'Jan',
    'Z',
    '٣',
  ),
  fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
  fc.string({ unit: 'binary', maxLength: 12 }),
)

holds(
  'any Retry-After is a time of at least 0, or ignored, for a clock that shows any time',
  [header, header, fc.oneof(fc.integer(), fc.constantFrom(0, -8.64e15, 8.64e15))],
  (retryAfter, reset, now) => {
    const waitMs = readWait(retryAfter, reset, now)
    ok(waitMs === undefined || waitMs >= 0, String(waitMs))
    if (retryAfter !== undefined && /^\d+$/.test(retryAfter))
      equal(waitMs, Number(retryAfter) * 1000)
    if (retryAfter === undefined && reset === undefined) equal(waitMs, undefined)
  },
  600,
)
