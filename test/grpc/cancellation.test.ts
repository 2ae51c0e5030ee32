import { Client, credentials } from '@grpc/grpc-js'
import { once } from 'node:events'
import {
  connect as connectHttp2,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
} from 'node:http2'
import { connect } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { test } from 'tap'
import { BridgeError } from '../../src/errors.ts'
import { gate, grpcFixture } from './fixture.ts'

const DECRYPT = '/v2.KeyManagementService/Decrypt'
const ROUNDS = 20
const CALLS_OF_A_ROUND = 200

/** A client as API server and CSI driver have one: all its calls share one connection. */
function openClient(socket: string) {
  const options = { 'grpc.use_local_subchannel_pool': 1 }
  const client = new Client(`unix://${socket}`, credentials.createInsecure(), options)
  const pass = (bytes: Buffer) => bytes
  const start = () => {
    const { promise, resolve } = Promise.withResolvers<string>()
    const call = client.makeUnaryRequest(DECRYPT, pass, pass, Buffer.alloc(0), (error) =>
      resolve(error === null ? 'OK' : error.details),
    )
    return { call, outcome: promise }
  }
  return { client, start }
}

/** As a request to Vault does, it ends with its caller. */
function untilReleased(released: Promise<void>, signal?: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    void released.then(() => resolve(Buffer.from('late')))
    signal?.addEventListener('abort', () => reject(new BridgeError('CANCELLED', 'gone')))
  })
}

void test('4,000 cancelled calls while Vault hangs end neither the connection nor another call on it', async (t) => {
  let vault = gate()
  const { socket, stop } = await grpcFixture(
    { decrypt: (_request, { signal }) => untilReleased(vault.opened, signal) },
    { maxInFlight: 4_096 },
  )
  t.teardown(stop)
  const { client, start } = openClient(socket)
  t.teardown(() => client.close())
  for (let round = 0; round < ROUNDS; round += 1) {
    const kept = start()
    const calls = Array.from({ length: CALLS_OF_A_ROUND }, start)
    await setImmediate()
    await setImmediate()
    for (const { call } of calls) call.cancel()
    const outcomes = new Set(await Promise.all(calls.map(({ outcome }) => outcome)))
    t.same([...outcomes], ['Cancelled on client'])
    vault.open()
    t.equal(await kept.outcome, 'OK')
    vault = gate()
  }
})

// By default, Node.js ends a connection after 1,000 resets and 33 more per second, with an error for every call on it.
void test('12,000 resets in a few seconds end neither the connection nor another call on it', async (t) => {
  let vault = gate()
  const { socket, stop } = await grpcFixture({
    decrypt: (_request, { signal }) => untilReleased(vault.opened, signal),
  })
  t.teardown(stop)
  const session = connectHttp2('http://localhost', { createConnection: () => connect(socket) })
  t.teardown(() => session.destroy())
  for (let round = 0; round < 4; round += 1) {
    const kept = openStream(session).resume()
    const answered = once(kept, 'trailers') as Promise<[Record<string, unknown>]>
    for (let count = 0; count < 3_000; count += 1) {
      openStream(session).close(constants.NGHTTP2_CANCEL)
      if (count % 200 === 0) await setImmediate()
    }
    vault.open()
    const [trailers] = await answered
    t.equal(trailers['grpc-status'], '0')
    vault = gate()
  }
})

function openStream(session: ClientHttp2Session): ClientHttp2Stream {
  const headers = { ':method': 'POST', ':path': DECRYPT, 'content-type': 'application/grpc' }
  const stream = session.request({ ...headers, te: 'trailers' })
  stream.on('error', () => undefined)
  stream.end(Buffer.alloc(5))
  return stream
}
