import { test } from 'tap'
import type { CallContext } from '../../src/call-context.ts'
import { BridgeError, type ErrorCode } from '../../src/errors.ts'
import { sizeOfDecrypt } from '../../src/transit/batch.ts'
import { Batcher } from '../../src/transit/batcher.ts'
import type { DecryptInput, DecryptResult } from '../../src/transit/transit.ts'
import { HandClock, settle } from '../fakes/clock.ts'
import { OpenCall } from '../fakes/scripted-vault.ts'

type Request = OpenCall<readonly DecryptInput[], DecryptResult[]>

/** A batcher whose requests the test answers by hand. */
function fixture() {
  const clock = new HandClock()
  const requests: Request[] = []
  const sizes: number[] = []
  const denials: string[] = []
  const batcher = new Batcher({
    send: (inputs: readonly DecryptInput[], context) => {
      const request: Request = new OpenCall(inputs, context)
      requests.push(request)
      return request.result
    },
    sizeOf: sizeOfDecrypt,
    discard: (plaintext) => void plaintext.fill(0),
    clock,
    onBatch: (size) => void sizes.push(size),
    onBatchDenied: ({ code }) => void denials.push(code),
    afterArrivals: (run) => run(),
  })
  let made = 0
  /** Starts a call; its value is "c1", "c2", … */
  const call = (context: Partial<CallContext> = {}, padding = '') => {
    made += 1
    const name = `c${made}${padding}`
    const result = batcher.run(
      { ciphertext: name },
      { deadline: clock.monotonic() + 3_000, uid: `u${made}`, ...context },
    )
    const state: { ended?: string } = {}
    result.then(
      (plaintext) => void (state.ended = plaintext.toString()),
      (error: { code: ErrorCode }) => void (state.ended = error.code),
    )
    return { result, state }
  }
  const request = (index: number): Request => {
    const found = requests[index]
    if (found === undefined) throw new Error(`request ${index} was not made`)
    return found
  }
  const namesOf = (index: number) => request(index).given.map(({ ciphertext }) => ciphertext)
  /** Answers a request with the name of each value in capitals. */
  const answer = (index: number) =>
    request(index).answer(namesOf(index).map((name) => Buffer.from(name.toUpperCase())))
  return { clock, batcher, requests, request, sizes, denials, call, namesOf, answer }
}

/** Two lone requests under way, so that every further call waits. */
function busy() {
  const given = fixture()
  given.call()
  given.call()
  return given
}

void test('a single call is sent in the same tick, with its own context, and waits for no timer', async (t) => {
  const { call, requests, request, clock, answer, sizes } = fixture()
  const context = { deadline: 3_000, uid: 'u1', signal: new AbortController().signal }
  const { result } = call(context)
  t.equal(requests.length, 1)
  t.equal(clock.pending, 1, 'the timer of its deadline alone')
  const { onRetry, ...given } = request(0).context
  t.ok(onRetry)
  t.same(given, context)
  await answer(0)
  t.equal((await result).toString(), 'C1')
  t.equal(clock.pending, 0)
  t.same(sizes, [1])
})

void test('two requests may be in flight; calls that arrive meanwhile share the next one', async (t) => {
  const { call, requests, namesOf, answer, sizes, request } = busy()
  const waiting = [call(), call(), call()]
  t.equal(requests.length, 2)
  await answer(1)
  t.same(namesOf(2), ['c3', 'c4', 'c5'], 'in the order they came')
  t.equal(request(2).context.uid, 'u3,u4,u5')
  t.same(sizes, [1, 1, 3])
  await answer(2)
  t.same(
    waiting.map(({ state }) => state.ended),
    ['C3', 'C4', 'C5'],
  )
})

void test('at most 64 values are in a request; the rest goes with the next', async (t) => {
  const { call, namesOf, answer, requests, sizes } = busy()
  const calls = Array.from({ length: 150 }, () => call())
  await answer(0)
  t.equal(namesOf(2).length, 64)
  await answer(1)
  t.equal(namesOf(3).length, 64)
  await answer(2)
  t.equal(namesOf(4).length, 22)
  await answer(3)
  await answer(4)
  t.equal(requests.length, 5)
  t.same(sizes, [1, 1, 64, 64, 22])
  t.same(
    calls.map(({ state }) => state.ended),
    calls.map((_call, index) => `C${index + 3}`),
    'each got its own value',
  )
})

void test('a call that waits behind an outage gets its reason at the deadline, in a request or before one', async (t) => {
  const { call, clock, request, answer } = busy()
  const outage = new BridgeError('VAULT_UNREACHABLE', 'connection refused')
  request(0).context.onRetry?.(outage)
  const waiting = call({ deadline: clock.monotonic() + 500 })
  await clock.advance(500)
  t.equal(await waiting.result.catch((error: unknown) => error), outage)
  await answer(0)
  const later = call({ deadline: clock.monotonic() + 500 })
  await clock.advance(500)
  t.match(await later.result.catch((error: unknown) => error), { code: 'DEADLINE_EXCEEDED' })
})

void test('each call that still waits learns why its request is tried again', async (t) => {
  const { call, clock, request, answer } = busy()
  const learned: string[] = []
  const waiting = (name: string, milliseconds: number) =>
    call({
      deadline: clock.monotonic() + milliseconds,
      onRetry: ({ code }) => void learned.push(`${name}: ${code}`),
    })
  const calls = [waiting('gone', 500), waiting('one', 3_000), waiting('two', 3_000)]
  await answer(0)
  await clock.advance(500)
  const outage = new BridgeError('VAULT_UNREACHABLE', 'connection refused')
  request(2).context.onRetry?.(outage)
  t.same(learned.splice(0), ['one: VAULT_UNREACHABLE', 'two: VAULT_UNREACHABLE'])
  await answer(1)
  await answer(2)
  const alone = waiting('alone', 3_000)
  request(3).context.onRetry?.(outage)
  t.same(learned, ['alone: VAULT_UNREACHABLE'])
  await answer(3)
  t.same(
    [...calls, alone].map(({ state }) => state.ended),
    ['DEADLINE_EXCEEDED', 'C4', 'C5', 'C6'],
  )
})

void test('the reason of an earlier outage is not the reason of a later deadline', async (t) => {
  const { call, clock, request } = fixture()
  const first = call()
  await request(0).fail('VAULT_UNREACHABLE')
  t.equal(first.state.ended, 'VAULT_UNREACHABLE')
  const second = call({ deadline: clock.monotonic() + 500 })
  await clock.advance(500)
  t.match(await second.result.catch((error: unknown) => error), { code: 'DEADLINE_EXCEEDED' })
})

void test('each value has its own error', async (t) => {
  const { call, request, answer } = busy()
  const calls = [call(), call(), call()]
  await answer(0)
  await request(2).answer([
    Buffer.from('one'),
    new BridgeError('CIPHERTEXT_INVALID', 'changed'),
    Buffer.from('three'),
  ])
  t.same(
    calls.map(({ state }) => state.ended),
    ['one', 'CIPHERTEXT_INVALID', 'three'],
  )
})

void test('a batch that is rejected as a whole is sent one by one', async (t) => {
  const { call, request, requests, namesOf, answer, sizes } = busy()
  const calls = [call(), call()]
  await answer(0)
  await request(2).fail('VAULT_REJECTED')
  t.same(sizes, [1, 1, 2, 1, 1], 'every request is counted')
  t.same([namesOf(3), namesOf(4)], [['c3'], ['c4']])
  t.equal(request(3).context.uid, 'u3')
  await request(3).fail('VAULT_REJECTED')
  await answer(4)
  t.same(
    calls.map(({ state }) => state.ended),
    ['VAULT_REJECTED', 'C4'],
    'a lone refusal is not asked again',
  )
  t.equal(requests.length, 5)
})

void test('a caller that gave up while Vault denied one value of a batch is not sent again', async (t) => {
  const { call, request, namesOf, answer } = busy()
  const caller = new AbortController()
  const calls = [call(), call({ signal: caller.signal }), call()]
  await answer(0)
  await request(2).fail('VAULT_DENIED')
  caller.abort()
  await answer(3)
  t.same(namesOf(4), ['c5'])
  await answer(4)
  t.same(
    calls.map(({ state }) => state.ended),
    ['C3', 'CANCELLED', 'C5'],
  )
})

void test('callers that gave up are not sent again when a batch is rejected', async (t) => {
  const { call, request, namesOf, answer, requests } = busy()
  const caller = new AbortController()
  call({ signal: caller.signal })
  call()
  await answer(0)
  caller.abort()
  await request(2).fail('VAULT_REJECTED')
  t.same(namesOf(3), ['c4'])
  t.equal(requests.length, 4)
})

for (const code of ['VAULT_SEALED', 'KEY_MISSING', 'DEADLINE_EXCEEDED'] as const) {
  void test(`${code} of a batch is the error of each of its callers, without another request`, async (t) => {
    const { call, request, requests, answer } = busy()
    const calls = [call(), call()]
    await answer(0)
    await request(2).fail(code)
    t.same(
      calls.map(({ state }) => state.ended),
      [code, code],
    )
    t.equal(requests.length, 3)
  })
}

void test('a batch that Vault denies twice is sent one by one, and no batch for a minute', async (t) => {
  const { call, clock, request, namesOf, answer, sizes, denials } = busy()
  const calls = [call(), call(), call(), call()]
  await answer(0)
  await request(2).fail('VAULT_DENIED')
  t.same(namesOf(3), ['c3'], 'first one value, to see whether Vault denies it too')
  await answer(3)
  t.same(namesOf(4), ['c4', 'c5', 'c6'], 'the rest again')
  await request(4).fail('VAULT_DENIED')
  t.same(namesOf(5), ['c4'])
  await answer(5)
  t.same([namesOf(6), namesOf(7)], [['c5'], ['c6']])
  await answer(6)
  await answer(7)
  t.same(
    calls.map(({ state }) => state.ended),
    ['C3', 'C4', 'C5', 'C6'],
  )
  t.same(denials, ['VAULT_DENIED'])
  for (let index = 0; index < 20; index += 1) call()
  t.same(sizes.slice(8), Array(15).fill(1), 'single values, more of them at once')
  for (let index = 8; index < 28; index += 1) await answer(index)
  await answer(1)
  await clock.advance(60_000)
  call()
  call()
  for (let index = 0; index < 4; index += 1) call()
  await answer(28)
  t.equal(namesOf(30).length, 4, 'batches are tried again')
})

void test('a token that was replaced between two requests is not taken for a policy that denies batches', async (t) => {
  const { call, request, namesOf, answer, denials } = busy()
  const calls = [call(), call(), call()]
  await answer(0)
  await request(2).fail('VAULT_DENIED')
  await answer(3)
  t.same(namesOf(4), ['c4', 'c5'])
  await answer(4)
  t.same(
    calls.map(({ state }) => state.ended),
    ['C3', 'C4', 'C5'],
  )
  t.same(denials, [])
})

void test('a denial of single values, too, costs one more request', async (t) => {
  const { call, request, requests, answer, denials } = busy()
  const calls = [call(), call(), call()]
  await answer(0)
  await request(2).fail('VAULT_DENIED')
  await request(3).fail('VAULT_DENIED')
  t.same(
    calls.map(({ state }) => state.ended),
    Array(3).fill('VAULT_DENIED'),
  )
  t.equal(requests.length, 4)
  t.same(denials, [])
})

void test('a batch is cut at 1 MiB', async (t) => {
  const { call, namesOf, answer } = busy()
  const large = 'x'.repeat(300 * 1024)
  for (let index = 0; index < 7; index += 1) call({}, large)
  await answer(0)
  t.equal(namesOf(2).length, 3)
  await answer(1)
  t.equal(namesOf(3).length, 3)
  await answer(2)
  t.equal(namesOf(4).length, 1)
})

void test('a value larger than 1 MiB is sent alone', async (t) => {
  const { call, namesOf, answer } = busy()
  call({}, 'x'.repeat(2 * 1024 * 1024))
  call()
  await answer(0)
  t.equal(namesOf(2).length, 1)
})

void test('an unknown error is INTERNAL for each caller', async (t) => {
  const batcher = new Batcher({
    send: (_inputs: readonly DecryptInput[]) => Promise.reject(new TypeError('bug')),
    sizeOf: sizeOfDecrypt,
    clock: new HandClock(),
    onBatchDenied: () => undefined,
  })
  await t.rejects(batcher.run({ ciphertext: 'c' }, { deadline: 1 }), {
    code: 'INTERNAL',
    message: 'internal error',
  })
})

void test('a batch has the latest deadline of its callers; each caller ends at its own', async (t) => {
  const { call, request, clock, answer } = busy()
  const hasty = call({ deadline: 1_000 })
  const patient = call({ deadline: 5_000 })
  await answer(0)
  t.equal(request(2).context.deadline, 5_000)
  t.equal(request(2).context.signal, undefined, 'no single caller aborts it')
  await clock.advance(999)
  t.equal(hasty.state.ended, undefined)
  await clock.advance(1)
  t.equal(hasty.state.ended, 'DEADLINE_EXCEEDED')
  await answer(2)
  t.equal(patient.state.ended, 'C4')
})

void test('a caller that cancels ends alone; its plaintext is zeroed when it arrives', async (t) => {
  const { call, request, answer } = busy()
  const caller = new AbortController()
  const gone = call({ signal: caller.signal })
  const other = call()
  await answer(0)
  caller.abort()
  await settle()
  t.equal(gone.state.ended, 'CANCELLED')
  const late = Buffer.from('late')
  await request(2).answer([late, Buffer.from('other')])
  t.same(late, Buffer.alloc(4))
  t.equal(other.state.ended, 'other')
})

void test('a plaintext that arrives after the deadline is zeroed', async (t) => {
  const { call, request, clock } = fixture()
  const { state } = call({ deadline: 100 })
  await clock.advance(100)
  t.equal(state.ended, 'DEADLINE_EXCEEDED')
  const late = Buffer.from('late')
  await request(0).answer([late])
  t.same(late, Buffer.alloc(4))
})

void test('a caller that gave up in the queue is not sent', async (t) => {
  const { call, clock, namesOf, answer } = busy()
  const caller = new AbortController()
  call({ signal: caller.signal })
  call({ deadline: 10 })
  call()
  caller.abort()
  await clock.advance(10)
  await answer(0)
  t.same(namesOf(2), ['c5'])
})

void test('a call that was cancelled before it started costs no request', async (t) => {
  const { call, requests } = fixture()
  const { result } = call({ signal: AbortSignal.abort() })
  await t.rejects(result, { code: 'CANCELLED' })
  t.equal(requests.length, 0)
})

void test('a finished call leaves no timer and no listener', async (t) => {
  const { call, clock, answer } = fixture()
  const caller = new AbortController()
  let listeners = 0
  const { signal } = caller
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  signal.addEventListener = (...given: Parameters<typeof add>) => {
    listeners += 1
    add(...given)
  }
  signal.removeEventListener = (...given: Parameters<typeof remove>) => {
    listeners -= 1
    remove(...given)
  }
  const { result } = call({ signal })
  t.equal(listeners, 1)
  await answer(0)
  await result
  t.equal(listeners, 0)
  t.equal(clock.pending, 0)
})

void test('a missing result is an internal error, not an endless wait', async (t) => {
  const { call, request } = fixture()
  const { state } = call()
  await request(0).answer([])
  t.equal(state.ended, 'INTERNAL')
})

void test('calls that arrive together share a request, even when none is in flight', async (t) => {
  const sizes: number[] = []
  const batcher = new Batcher({
    send: (inputs: readonly DecryptInput[]) =>
      Promise.resolve(inputs.map(({ ciphertext }) => Buffer.from(ciphertext))),
    sizeOf: sizeOfDecrypt,
    clock: new HandClock(),
    onBatch: (size) => void sizes.push(size),
    onBatchDenied: () => undefined,
  })
  const answers = await Promise.all(
    ['a', 'b', 'c'].map((ciphertext) => batcher.run({ ciphertext }, { deadline: 1 })),
  )
  t.same(answers.map(String), ['a', 'b', 'c'])
  t.same(sizes, [3])
})
