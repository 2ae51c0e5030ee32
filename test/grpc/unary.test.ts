import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { systemClock } from '../../src/time/clock.ts'
import { BridgeError } from '../../src/errors.ts'
import type { CallContext } from '../../src/call-context.ts'
import { KmsCallError } from '../real/program/kms-client.ts'
import { gate, grpcFixture } from './fixture.ts'

const DECRYPT = '/v2.KeyManagementService/Decrypt'
const ENCRYPT = '/v2.KeyManagementService/Encrypt'
const seed = Buffer.from('a seed that must never be shown')
const envelope = (ciphertext: Uint8Array) => ({ ciphertext, keyId: 'k', annotations: {} })

/** The code and words of a call that must fail. */
async function failure(call: Promise<unknown>): Promise<{ code: string; words: string }> {
  try {
    await call
  } catch (error) {
    if (error instanceof KmsCallError) return { code: error.code, words: error.message }
    throw error
  }
  throw new Error('the call succeeded')
}

/** A protobuf field of type bytes or string: tag, length, bytes. */
const field = (number: number, bytes: Buffer) =>
  Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes])

const MALFORMED: readonly (readonly [string, string, Buffer])[] = [
  ['a truncated field', DECRYPT, field(1, Buffer.from('cipher')).subarray(0, 5)],
  ['a length past the end', DECRYPT, Buffer.from([0x0a, 0xff, 0xff, 0x03])],
  ['a field number of 0', DECRYPT, Buffer.from([0x02, 0x00])],
  ['a wire type that does not exist', DECRYPT, Buffer.from([0x0f])],
  ['a varint without end', DECRYPT, Buffer.alloc(32, 0xff)],
  ['more than 1,000 fields', DECRYPT, Buffer.alloc(2 * 1_001, Buffer.from([0x12, 0x00]))],
  ['more than 1,000 unknown fields', DECRYPT, Buffer.alloc(2 * 1_001, Buffer.from([0x78, 0x00]))],
  ['bad UTF-8 in uid', DECRYPT, field(2, Buffer.from([0xc3, 0x28]))],
  ['bad UTF-8 in key_id', DECRYPT, field(3, Buffer.from([0xff]))],
  ['bad UTF-8 in the name of an annotation', DECRYPT, field(4, field(1, Buffer.from([0xff])))],
  ['bad UTF-8 in the uid of Encrypt', ENCRYPT, field(2, Buffer.from([0xed, 0xa0, 0x80]))],
]

void test('a request that is not a valid message of its method is INVALID_ARGUMENT', async (all) => {
  let handled = 0
  const { client, stop, calls } = await grpcFixture({
    encrypt: async () => Buffer.from([(handled += 1)]),
    decrypt: async () => Buffer.from([(handled += 1)]),
  })
  all.teardown(stop)
  for (const [what, path, bytes] of MALFORMED) {
    await all.test(what, async (t) => {
      t.same(await failure(client.send(path, bytes)), {
        code: 'INVALID_ARGUMENT',
        words: 'the request is not a valid message of its method',
      })
      t.match(calls.at(-1), [path.split('/')[2] ?? '', 'INVALID_ARGUMENT'])
    })
  }
  all.equal(handled, 0)
  await all.test(
    'random bytes are refused or handled, and the next caller is served',
    async (t) => {
      for (let round = 0; round < 200; round += 1) {
        await client.send(DECRYPT, randomBytes(round)).catch((error: KmsCallError) => {
          t.equal(error.code, 'INVALID_ARGUMENT')
        })
      }
      t.match(await client.status(), { healthz: 'ok' })
    },
  )
})

void test('an empty message is a message: its fields are empty', async (t) => {
  let seen: unknown
  const { client, stop } = await grpcFixture({
    decrypt: async ({ ciphertext, uid, keyId, annotations }) => {
      seen = { ciphertext: ciphertext.length, uid, keyId, annotations: { ...annotations } }
      return ciphertext
    },
  })
  t.teardown(stop)
  t.equal((await client.send(DECRYPT, Buffer.alloc(0))).length, 0)
  t.same(seen, { ciphertext: 0, uid: '', keyId: '', annotations: {} })
})

void test('an annotation named __proto__ is one annotation more, not a way around the count', async (t) => {
  let names: string[] = []
  const { client, stop } = await grpcFixture({
    decrypt: async ({ annotations }) => {
      names = Object.keys(annotations)
      return Buffer.alloc(0)
    },
  })
  t.teardown(stop)
  await client.send(DECRYPT, field(4, field(1, Buffer.from('__proto__'))))
  t.same(names, ['__proto__'])
})

void test('an unknown error is INTERNAL; only the log has its message', async (t) => {
  const { client, stop, lines, calls } = await grpcFixture(
    { decrypt: () => Promise.reject(new TypeError('secret words')) },
    { level: 'info' },
  )
  t.teardown(stop)
  t.same(await failure(client.decrypt(envelope(seed), { uid: 'u7' })), {
    code: 'INTERNAL',
    words: 'internal error',
  })
  t.match(lines, [
    {
      level: 'error',
      method: 'Decrypt',
      code: 'INTERNAL',
      uid: 'u7',
      err: { message: 'internal error', cause: { type: 'TypeError', message: 'secret words' } },
    },
  ])
  t.match(calls, [['Decrypt', 'INTERNAL']])
})

void test('our own errors are answered with their status and message', async (t) => {
  const { client, stop, lines } = await grpcFixture({
    decrypt: () => Promise.reject(new BridgeError('KEY_ID_UNKNOWN', 'no such “key”…')),
  })
  t.teardown(stop)
  t.same(await failure(client.decrypt(envelope(seed))), {
    code: 'FAILED_PRECONDITION',
    words: 'no such “key”…',
  })
  t.match(lines, [{ level: 'debug', reason: 'KEY_ID_UNKNOWN', code: 'FAILED_PRECONDITION' }])
})

void test('a message that gRPC cannot send is repaired and shortened, and the process continues', async (t) => {
  for (const words of ['half a pair \ud800', `${'x'.repeat(999)}😀😀`, 'y'.repeat(100_000)]) {
    const { client, stop } = await grpcFixture({
      decrypt: () => Promise.reject(new BridgeError('VAULT_REJECTED', words)),
    })
    t.teardown(stop)
    const { code, words: answer } = await failure(client.decrypt(envelope(seed)))
    t.equal(code, 'FAILED_PRECONDITION')
    t.ok(answer.isWellFormed() && answer.length <= 1_000, `${answer.length} characters`)
    t.match(await client.status(), { healthz: 'ok' })
  }
})

void test('an answer that cannot be encoded is INTERNAL, and its plaintext is zeroed', async (t) => {
  const { client, stop } = await grpcFixture({
    encrypt: () => Promise.resolve('not bytes' as unknown as Uint8Array),
  })
  t.teardown(stop)
  t.match(await failure(client.encrypt(seed)), { code: 'INTERNAL', words: 'internal error' })
})

/** A server that records how much time each call has left when it arrives. */
async function timedFixture(t: Test) {
  const left: number[] = []
  const { client, stop } = await grpcFixture({
    encrypt: async (_request, { deadline }) => {
      left.push(deadline - systemClock.monotonic())
      return Buffer.from('c')
    },
  })
  t.teardown(stop)
  return { client, left }
}

void test("the caller's deadline arrives; without one a call has 30 s, and never more", async (t) => {
  const { client, left } = await timedFixture(t)
  for (const timeout of [1_234, Infinity, 3_600_000]) await client.encrypt(seed, { timeout })
  const [short = 0, none = 0, long = 0] = left
  t.ok(short > 200 && short <= 1_235, `${short} ms of 1234`)
  t.ok(none > 29_000 && none <= 30_000, `${none} ms without a deadline`)
  t.ok(long > 29_000 && long <= 30_000, `${long} ms of an hour`)
})

void test('work ends a tenth of the time before the deadline of its caller, 20 to 100 ms', async (t) => {
  const { client, left } = await timedFixture(t)
  await client.encrypt(seed)
  left.length = 0
  for (const [timeout, most] of [
    [5_000, 4_900],
    [1_000, 900],
    [600, 540],
    [150, 130],
  ] as const) {
    // A busy machine may use up the time before the call arrives.
    await client.encrypt(seed, { timeout }).catch(() => undefined)
    // The clocks of both sides round to milliseconds.
    t.ok((left.pop() ?? 0) <= most + 2, `of ${timeout} ms`)
  }
})

void test('a call that takes too long is answered with a reason before its caller gives up, and aborted', async (t) => {
  const contexts: CallContext[] = []
  const arrived = gate()
  const aborted = gate()
  const { client, stop, calls } = await grpcFixture({
    encrypt: async (_request, context) => {
      contexts.push(context)
      return Buffer.from('c')
    },
    decrypt: async (_request, { signal }) => {
      signal?.addEventListener('abort', aborted.open)
      arrived.open()
      await aborted.opened
      throw new BridgeError('CANCELLED', 'gone')
    },
  })
  t.teardown(stop)
  await client.encrypt(seed)
  const call = failure(client.decrypt(envelope(seed), { timeout: 2_000 }))
  await arrived.opened
  t.match(await call, {
    code: 'DEADLINE_EXCEEDED',
    words: "the call was not finished before the caller's deadline",
  })
  await aborted.opened
  t.equal(contexts[0]?.signal?.aborted, false)
  while (calls.length < 2) await client.status()
  t.match(
    calls.find(([method]) => method === 'Decrypt'),
    ['Decrypt', 'DEADLINE_EXCEEDED'],
  )
})

void test('one call too many is RESOURCE_EXHAUSTED; later ones are accepted again', async (t) => {
  const door = gate()
  const full = gate()
  let running = 0
  const { client, stop, funnel } = await grpcFixture(
    {
      encrypt: async () => {
        running += 1
        if (running === 3) full.open()
        await door.opened
        return Buffer.from('c')
      },
    },
    { maxInFlight: 3 },
  )
  t.teardown(stop)
  const calls = [1, 2, 3].map(() => client.encrypt(seed))
  await full.opened
  t.match(await failure(client.encrypt(seed)), {
    code: 'RESOURCE_EXHAUSTED',
    words: /^3 calls are in progress already \(kms\.maxCallsInFlight\)$/,
  })
  t.match(await client.status(), { healthz: 'ok' }, 'Status is never refused: it costs nothing')
  t.equal(running, 3)
  t.equal(funnel.callsInFlight, 3)
  door.open()
  await Promise.all(calls)
  await client.encrypt(seed)
  t.equal(funnel.callsInFlight, 0)
})

void test('an oversized request is RESOURCE_EXHAUSTED, and the next one works', async (t) => {
  const { client, stop } = await grpcFixture()
  t.teardown(stop)
  t.match(await failure(client.encrypt(Buffer.alloc(200 * 1024))), { code: 'RESOURCE_EXHAUSTED' })
  t.same((await client.encrypt(seed)).ciphertext, new Uint8Array(seed))
  t.equal((await client.encrypt(Buffer.alloc(127 * 1024))).ciphertext.length, 127 * 1024)
})

void test('a funnel refuses a request that is larger than its limit, with its own status', async (t) => {
  const { client, stop } = await grpcFixture({}, { maxRequestBytes: 1_000 })
  t.teardown(stop)
  t.match(await failure(client.encrypt(Buffer.alloc(1_000))), {
    code: 'INVALID_ARGUMENT',
    words: /^the request has 1\d\d\d bytes, more than 1000$/,
  })
  t.same((await client.encrypt(seed)).ciphertext, new Uint8Array(seed))
})

void test('a method that does not exist is UNIMPLEMENTED', async (t) => {
  const { client, stop } = await grpcFixture()
  t.teardown(stop)
  const call = client.send('/v2.KeyManagementService/Delete', Buffer.alloc(0))
  t.match(await failure(call), { code: 'UNIMPLEMENTED' })
})

void test('plaintext is zeroed after the answer is encoded, and after the request', async (t) => {
  const kept: Uint8Array[] = []
  const answer = Buffer.from(seed)
  const { client, stop } = await grpcFixture({
    encrypt: async ({ plaintext }) => {
      kept.push(plaintext)
      return Buffer.from('c')
    },
    decrypt: async () => answer,
  })
  t.teardown(stop)
  await client.encrypt(seed)
  t.equal(Buffer.from(kept[0] ?? '').toString('hex'), '00'.repeat(seed.length))
  t.equal((await client.decrypt(envelope(seed))).toString(), seed.toString())
  t.equal(answer.toString('hex'), '00'.repeat(seed.length))
})

void test("a request's plaintext is zeroed when its call fails, too", async (t) => {
  const kept: Uint8Array[] = []
  const { client, stop } = await grpcFixture({
    encrypt: ({ plaintext }) => {
      kept.push(plaintext)
      return Promise.reject(new BridgeError('VAULT_SEALED', 'sealed'))
    },
  })
  t.teardown(stop)
  t.match(await failure(client.encrypt(seed)), { code: 'UNAVAILABLE' })
  t.equal(Buffer.from(kept[0] ?? '').toString('hex'), '00'.repeat(seed.length))
})

void test('a call that ended before its handler is called is not handled, and its request is zeroed', async (t) => {
  const { service, stop, calls } = await grpcFixture()
  t.teardown(stop)
  const request = field(1, seed)
  const answers: unknown[] = []
  const call = { call: { cancelled: true }, request }
  service.implementation.Encrypt(call as never, (answer: unknown) => answers.push(answer))
  t.equal(request.toString('hex'), '00'.repeat(request.length))
  t.same([calls, answers], [[], []])
})

void test('a log line has method, code, duration and uid, and nothing of the message even at trace', async (t) => {
  const { client, stop, lines } = await grpcFixture({}, { level: 'trace' })
  t.teardown(stop)
  const uid = 'u'.repeat(300)
  await client.encrypt(seed, { uid })
  await client.decrypt({ ...envelope(seed), keyId: 'the-key-id' }, { uid: 'u2' })
  await client.send(DECRYPT, Buffer.concat([seed, seed])).catch(() => undefined)
  const text = JSON.stringify(lines)
  for (const form of ['utf8', 'hex', 'base64'] as const) {
    t.notOk(text.includes(seed.toString(form)), form)
  }
  t.notOk(text.includes('the-key-id'))
  const [first] = lines
  t.same(
    { ...first, duration_ms: 0 },
    {
      level: 'debug',
      method: 'Encrypt',
      code: 'OK',
      duration_ms: 0,
      uid: 'u'.repeat(128),
      vault_requests: 0,
      msg: 'call answered',
    },
  )
  t.equal(typeof first?.['duration_ms'], 'number')
})

void test('each request to Vault after the end of its call has a line', async (t) => {
  let context: CallContext | undefined
  const waiting = gate()
  const { client, stop, lines } = await grpcFixture({
    decrypt: async (_request, given) => {
      context = given
      given.onVaultRequest?.()
      await waiting.opened
      return seed
    },
  })
  t.teardown(stop)
  const call = client.decrypt(envelope(seed), { uid: 'u1', timeout: 400 })
  t.match(await failure(call), { code: 'DEADLINE_EXCEEDED' })
  while (lines.length === 0) await setImmediate()
  context?.onVaultRequest?.()
  context?.onVaultRequest?.()
  waiting.open()
  const ended = { method: 'Decrypt', code: 'DEADLINE_EXCEEDED', uid: 'u1', vault_requests: 1 }
  t.match(lines, [
    { ...ended, late_request: undefined },
    { ...ended, late_request: 1 },
    { ...ended, late_request: 2 },
  ])
})

void test('at info a call costs no line', async (t) => {
  const { client, stop, lines } = await grpcFixture(
    { decrypt: () => Promise.reject(new BridgeError('KEY_ID_UNKNOWN', 'no')) },
    { level: 'info' },
  )
  t.teardown(stop)
  await client.encrypt(seed)
  await failure(client.decrypt(envelope(seed)))
  t.same(lines, [])
})

void test('every call is counted with its method, code and seconds', async (t) => {
  const { client, stop, calls } = await grpcFixture()
  t.teardown(stop)
  await client.status()
  await client.encrypt(seed)
  await client.decrypt(envelope(seed))
  t.same(
    calls.map(([method, code]) => `${method} ${code}`),
    ['Status OK', 'Encrypt OK', 'Decrypt OK'],
  )
  t.ok(calls.every(([, , seconds]) => seconds >= 0 && seconds < 5))
})

void test('an answer that is read slowly arrives whole, although its buffers are zeroed after the call', async (t) => {
  const content = randomBytes(1024 * 1024)
  const { socket, client, stop } = await grpcFixture({ decrypt: async () => Buffer.from(content) })
  t.teardown(stop)
  const session = connectHttp2('http://localhost', { createConnection: () => connect(socket) })
  t.teardown(() => session.destroy())
  const streams = [1, 2, 3].map(() => {
    const headers = {
      ':method': 'POST',
      ':path': DECRYPT,
      'content-type': 'application/grpc',
      te: 'trailers',
    }
    const stream = session.request(headers).pause()
    stream.end(Buffer.alloc(5))
    return stream
  })
  await Promise.all(streams.map((stream) => once(stream, 'response')))
  // Other calls are answered meanwhile.
  for (let round = 0; round < 20; round += 1)
    t.same((await client.decrypt(envelope(seed))).length, content.length)
  streams[2]?.close()
  for (const stream of streams.slice(0, 2)) {
    const chunks: Buffer[] = []
    for await (const chunk of stream) {
      chunks.push(chunk as Buffer)
      await setImmediate()
    }
    t.ok(Buffer.concat(chunks).subarray(-content.length).equals(content))
  }
})
