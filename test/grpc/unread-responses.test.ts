import { create, toBinary } from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import { test, type Test } from 'tap'
import { EncryptRequestSchema } from '../../src/gen/kms/v2/api_pb.ts'
import { eventually } from '../real/host/eventually.ts'
import { UnreadingClient } from '../real/program/unreading-client.ts'
import { gate, grpcFixture } from './fixture.ts'

const KIBIBYTE = 1024
const seed = Buffer.alloc(32, 7)
const ENCRYPT = '/v2.KeyManagementService/Encrypt'
const STATUS = '/v2.KeyManagementService/Status'
const MESSAGE = toBinary(EncryptRequestSchema, create(EncryptRequestSchema, { plaintext: seed }))

/** A server whose answers have 100 KiB, and whose clients may leave 1 MiB unread. */
async function startServer(
  t: Test,
  wait: 'in turns' | 'at once' = 'at once',
  ready: () => Promise<void> = async () => undefined,
) {
  const encrypt = async () => {
    await ready()
    if (wait === 'in turns') await fixture.unread.turn()
    return Buffer.alloc(100 * KIBIBYTE, 1)
  }
  const fixture = await grpcFixture({ encrypt }, { maxUnreadBytes: 1024 * KIBIBYTE })
  t.teardown(fixture.stop)
  const { socket } = fixture
  const connect = async () => {
    const client = await UnreadingClient.connect(socket)
    t.teardown(() => client.close())
    return client
  }
  return { ...fixture, connect }
}

async function callTimes(client: UnreadingClient, count: number) {
  const received = await Promise.all(
    Array.from({ length: count }, () => client.call(ENCRYPT, MESSAGE)),
  )
  return {
    unread: received.filter((each) => each === 'unread').length,
    refused: received.filter((each) => each === status.RESOURCE_EXHAUSTED).length,
  }
}

void test('a client that reads nothing holds at most half of the bytes, and others are answered', async (t) => {
  const { client, connect, lines } = await startServer(t)
  const unreading = await connect()
  t.same(await callTimes(unreading, 100), { unread: 5, refused: 95 })
  t.equal(await unreading.call(STATUS, Buffer.alloc(0)), 'unread', 'Status has no limit')
  for (let count = 0; count < 20; count += 1)
    t.equal((await client.encrypt(seed)).ciphertext.length, 100 * KIBIBYTE)
  const warnings = lines.filter(({ msg }) => msg.includes('does not read its responses'))
  t.equal(warnings.length, 1)
})

void test('each further client that reads nothing holds at most half of what is still free', async (t) => {
  const { connect } = await startServer(t)
  const held: number[] = []
  for (let count = 0; count < 5; count += 1)
    held.push((await callTimes(await connect(), 20)).unread)
  t.same(held, [5, 2, 1, 1, 0])
})

void test('the responses of a client that disconnects no longer count', async (t) => {
  const { connect } = await startServer(t)
  for (let round = 1; round <= 5; round += 1) {
    await eventually(`all the room in round ${String(round)}`, async () => {
      const unreading = await connect()
      const { unread } = await callTimes(unreading, 10)
      unreading.close()
      return unread === 5
    })
  }
  t.end()
})

void test('a client that reads receives all responses, even if it asks for more than the bound at once', async (t) => {
  const { client } = await startServer(t, 'in turns')
  const answers = await Promise.all(Array.from({ length: 90 }, () => client.encrypt(seed)))
  for (const { ciphertext } of answers) t.equal(ciphertext.length, 100 * KIBIBYTE)
})

void test('responses that are ready at the same moment are created in turns, too', async (t) => {
  const door = gate()
  let waiting = 0
  const { client } = await startServer(t, 'in turns', () => {
    waiting += 1
    return door.opened
  })
  const calls = Array.from({ length: 90 }, () => client.encrypt(seed))
  await eventually('all calls', () => waiting === calls.length)
  door.open()
  const answers = await Promise.allSettled(calls)
  t.equal(answers.filter(({ status: outcome }) => outcome === 'fulfilled').length, 90)
})

void test('a client that reads nothing only delays the responses of others', async (t) => {
  const { client, connect } = await startServer(t, 'in turns')
  const unreading = await connect()
  t.equal((await callTimes(unreading, 20)).unread, 5)
  for (let count = 0; count < 2; count += 1)
    t.equal((await client.encrypt(seed)).ciphertext.length, 100 * KIBIBYTE)
})

// grpc-js calls the handler of such a request, but then never emits "cancelled".
void test('the response to a request that was completed after its call had failed does not count', async (t) => {
  const { socket, connect, calls } = await startServer(t)
  const session = connectHttp2('http://localhost', {
    createConnection: () => connectSocket(socket),
  })
  t.teardown(() => session.destroy())
  const untilReceived = () => new Promise((resolve) => session.ping(resolve))
  for (let count = 0; count < 5; count += 1) {
    const headers = { ':method': 'POST', ':path': ENCRYPT, 'content-type': 'application/grpc' }
    const stream = session.request({ ...headers, te: 'trailers' }).resume()
    stream.write(Buffer.alloc(5))
    await untilReceived()
    const startOfLargeMessage = Buffer.alloc(5, 0x7f)
    stream.write(startOfLargeMessage)
    const [response] = (await once(stream, 'response')) as [Record<string, string>]
    t.equal(Number(response['grpc-status']), status.RESOURCE_EXHAUSTED)
    stream.end()
    await once(stream, 'close')
  }
  await untilReceived()
  t.same(calls, [], 'grpc-js answered these calls')
  t.same(await callTimes(await connect(), 10), { unread: 5, refused: 5 })
})
