import { randomBytes } from 'node:crypto'
import { connect as connectHttp2, type ClientHttp2Stream } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { test, type Test } from 'tap'
import { KmsClient, type WrappedSeed } from '../../real/program/kms-client.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const { bao } = fixture
/** Longer than the test, so that every request to Vault is for a call. */
const KMS = { refreshInterval: '5m' }
const plugin = await fixture.startHealthy({ kms: { ...KMS, clusterId: 'ours' } })
const { client } = plugin
const plaintext = newSeed()
const good = await client.encrypt(plaintext)
const PATH = '/v2.KeyManagementService'
const ENCRYPT_HEADERS = {
  ':method': 'POST',
  ':path': `${PATH}/Encrypt`,
  'content-type': 'application/grpc',
  te: 'trailers',
}

/** Another caller is served as if nothing had happened, and only its calls caused requests to Vault. */
async function othersAreServed(t: Test, since: number): Promise<void> {
  t.equal(fixture.asked(since).length, 0, 'no request to Vault')
  const next = new KmsClient(plugin.socket)
  t.match(await next.status(), { healthz: 'ok' })
  t.same(await next.decrypt(good), plaintext)
  next.close()
  t.ok(plugin.program.running)
}

/** A connection to the socket that keeps its end open. */
function open(): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect(plugin.socket)
    socket.on('error', () => resolve(socket))
    socket.once('connect', () => resolve(socket))
    socket.resume()
  })
}

void test('random bytes on the socket', async (t) => {
  const since = bao.auditMark()
  for (let size = 1; size <= 65_536; size *= 4) {
    const socket = await open()
    socket.end(randomBytes(size))
  }
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  for (const text of [preface, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n']) {
    const socket = await open()
    socket.end(Buffer.concat([Buffer.from(text), randomBytes(4096)]))
  }
  await othersAreServed(t, since)
})

void test('2000 connections at once, most of which send nothing', async (t) => {
  const since = bao.auditMark()
  const sockets = await Promise.all(Array.from({ length: 2_000 }, open))
  await othersAreServed(t, since)
  for (const socket of sockets) socket.destroy()
  await othersAreServed(t, bao.auditMark())
})

void test('200 clients with a call each', async (t) => {
  const clients = Array.from({ length: 200 }, () => new KmsClient(plugin.socket))
  const answers = await Promise.all(clients.map((each) => each.decrypt(good, { timeout: 20_000 })))
  t.ok(answers.every((answer) => answer.equals(plaintext)))
  for (const each of clients) each.close()
})

type Odd = { name: string; path: string; bytes: Buffer; code: string | RegExp }

const odd: Odd[] = [
  {
    name: 'a huge message',
    path: `${PATH}/Encrypt`,
    bytes: Buffer.concat([Buffer.from([0x0a, 0x80, 0x80, 0x80, 0x02]), Buffer.alloc(4 << 20)]),
    code: 'RESOURCE_EXHAUSTED',
  },
  {
    name: 'random bytes as a message',
    path: `${PATH}/Decrypt`,
    bytes: Buffer.from('fffefdfcfb', 'hex'),
    code: 'INVALID_ARGUMENT',
  },
  {
    name: 'a field that says it is longer than the message',
    path: `${PATH}/Decrypt`,
    bytes: Buffer.from('0aff7f00', 'hex'),
    code: 'INVALID_ARGUMENT',
  },
  {
    name: 'a uid of malformed UTF-8 and no ciphertext',
    path: `${PATH}/Decrypt`,
    bytes: Buffer.from('1204c3282028', 'hex'),
    code: 'INVALID_ARGUMENT',
  },
  {
    name: 'an empty Decrypt',
    path: `${PATH}/Decrypt`,
    bytes: Buffer.alloc(0),
    code: 'INVALID_ARGUMENT',
  },
  {
    name: 'an unknown method',
    path: `${PATH}/Destroy`,
    bytes: Buffer.alloc(0),
    code: 'UNIMPLEMENTED',
  },
  {
    name: 'an unknown service',
    path: '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    bytes: Buffer.alloc(0),
    code: 'UNIMPLEMENTED',
  },
  {
    name: 'KMS v1, which is not served unless it is asked for',
    path: '/v1beta1.KeyManagementService/Version',
    bytes: Buffer.alloc(0),
    code: 'UNIMPLEMENTED',
  },
]

for (const { name, path, bytes, code } of odd) {
  void test(name, async (t) => {
    const since = bao.auditMark()
    t.match(await outcomeOf(client.send(path, bytes)), { code })
    await othersAreServed(t, since)
  })
}

void test('a Status with unknown fields is answered', async (t) => {
  const answer = await client.send(`${PATH}/Status`, Buffer.from('7a0568656c6c6f', 'hex'))
  t.ok(answer.length > 0)
})

void test('an empty plaintext is encrypted and decrypted like others', async (t) => {
  const wrapped = await client.encrypt(new Uint8Array())
  t.equal((await client.decrypt(wrapped)).length, 0)
})

type Foreign = {
  name: string
  change: (seed: WrappedSeed) => Partial<WrappedSeed>
  code: 'INVALID_ARGUMENT' | 'FAILED_PRECONDITION'
  message: RegExp
}

const text = (value: string) => new TextEncoder().encode(value)
const [VERSION, CLUSTER] = ['version.transit-bridge.internal', 'cluster.transit-bridge.internal']
const noForm = { code: 'INVALID_ARGUMENT', message: /does not have the form of Transit/ } as const
const changed = {
  code: 'INVALID_ARGUMENT',
  message: /another plugin wrote this data, or it was changed/,
} as const

const foreign: Foreign[] = [
  { name: 'no ciphertext', change: () => ({ ciphertext: text('') }), ...noForm },
  { name: 'a random ciphertext', change: () => ({ ciphertext: randomBytes(89) }), ...noForm },
  { name: 'a bare prefix', change: () => ({ ciphertext: text('vault:v1:') }), ...noForm },
  {
    name: 'version 0',
    change: () => ({ ciphertext: text(`vault:v0:${'A'.repeat(80)}`) }),
    ...noForm,
  },
  {
    name: 'a ciphertext of another version than its key id',
    change: () => ({ ciphertext: text(`vault:v7:${'A'.repeat(80)}`) }),
    code: 'INVALID_ARGUMENT',
    message: /the ciphertext names key version 7, but its key id stands for version 1/,
  },
  {
    name: 'a ciphertext of 90 KiB',
    change: () => ({ ciphertext: text(`vault:v1:${'A'.repeat(99_000)}`) }),
    code: 'INVALID_ARGUMENT',
    message: /99009 bytes; this plugin produces at most 98304/,
  },
  {
    name: 'no key id',
    change: () => ({ keyId: '' }),
    code: 'FAILED_PRECONDITION',
    message: /the key id matches no version of transit key k8s-etcd/,
  },
  {
    name: 'a key id that was never issued',
    change: () => ({ keyId: `tb1-${'A'.repeat(43)}` }),
    code: 'FAILED_PRECONDITION',
    message: /the key id matches no version of transit key k8s-etcd/,
  },
  { name: 'no annotations', change: () => ({ annotations: {} }), ...changed },
  {
    name: 'one annotation more',
    change: ({ annotations }) => ({ annotations: { ...annotations, 'a.example': text('x') } }),
    ...changed,
  },
  {
    name: 'another format version',
    change: ({ annotations }) => ({ annotations: { ...annotations, [VERSION]: text('3') } }),
    code: 'INVALID_ARGUMENT',
    message: /format version of the annotations is neither 1 nor 2/,
  },
  {
    name: 'the format version of a local key, without one',
    change: ({ annotations }) => ({ annotations: { ...annotations, [VERSION]: text('2') } }),
    code: 'INVALID_ARGUMENT',
    message: /annotations are not those of transit-bridge/,
  },
  {
    name: 'annotations of another cluster',
    change: ({ annotations }) => ({ annotations: { ...annotations, [CLUSTER]: text('theirs') } }),
    code: 'FAILED_PRECONDITION',
    message:
      /belongs to cluster "theirs", but kms.clusterId is "ours"; after a restore, list the other cluster/,
  },
  {
    name: 'a cluster of malformed UTF-8',
    change: ({ annotations }) => ({
      annotations: { ...annotations, [CLUSTER]: Buffer.from('c328', 'hex') },
    }),
    code: 'FAILED_PRECONDITION',
    message: /belongs to cluster/,
  },
]

for (const { name, change, code, message } of foreign) {
  void test(`Decrypt of ${name} is refused before Vault is asked`, async (t) => {
    // An unknown key id is looked for once in a snapshot that is young enough: this makes it so.
    const since = bao.auditMark()
    t.match(await outcomeOf(client.decrypt({ ...good, ...change(good) })), { code, message })
    const asked = fixture.asked(since).map(({ path }) => path)
    t.same(
      asked,
      asked.slice(0, 1).filter((path) => path === `transit/keys/${KEY}`),
    )
    t.ok(name.includes('key id') || asked.length === 0, 'only an unknown key id may look once')
    await othersAreServed(t, bao.auditMark())
  })
}

void test('any number of unknown key ids cause at most one read of the key in five seconds', async (t) => {
  const since = bao.auditMark()
  const began = performance.now()
  const codes = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const keyId = `tb1-unknown-${String(index)}`
      return (await outcomeOf(client.decrypt({ ...good, keyId }))).code
    }),
  )
  t.same([...new Set(codes)], ['FAILED_PRECONDITION'])
  const most = 1 + Math.ceil((performance.now() - began) / 5_000)
  t.ok(fixture.asked(since).length <= most, `${String(fixture.asked(since).length)} requests`)
})

void test('a ciphertext in which one bit differs, which only Transit can notice', async (t) => {
  const bytes = Buffer.from(good.ciphertext)
  bytes.write(bytes[30] === 65 ? 'B' : 'A', 30)
  t.match(await outcomeOf(client.decrypt({ ...good, ciphertext: bytes })), {
    code: 'INVALID_ARGUMENT',
    message: /message authentication failed/,
  })
  t.match(await client.status(), { healthz: 'ok' })
  t.same(await client.decrypt(good), plaintext)
})

void test("another cluster's data is refused, and read when kms.alsoDecryptClusters lists it", async (t) => {
  const theirs = await fixture.startHealthy({ kms: { ...KMS, clusterId: 'theirs' } })
  const both = await fixture.startHealthy({
    kms: { ...KMS, clusterId: 'theirs', alsoDecryptClusters: ['ours'] },
  })
  const own = await theirs.client.encrypt(plaintext)
  const since = bao.auditMark()
  t.match(await outcomeOf(theirs.client.decrypt(good)), {
    code: 'FAILED_PRECONDITION',
    message: /belongs to cluster "ours", but kms.clusterId is "theirs"/,
  })
  t.equal(fixture.asked(since).length, 0)
  t.same(await both.client.decrypt(good), plaintext)
  t.same(await both.client.decrypt(own), plaintext)
  t.equal((await both.client.status()).keyId, own.keyId)
  t.match(
    await outcomeOf(both.client.decrypt({ ...good, keyId: own.keyId })),
    { code: 'INVALID_ARGUMENT', message: /key id and the annotations name different clusters/ },
    'with the key id of the one and the annotations of the other',
  )
  await Promise.all([theirs.stop(), both.stop()])
})

void test('data of vault-kubernetes-kms is refused, and read with kms.acceptFrom', async (t) => {
  const { data } = await bao.api('POST', `transit/encrypt/${KEY}`, {
    plaintext: plaintext.toString('base64'),
  })
  const old = { ciphertext: text(data.ciphertext), keyId: '1', annotations: {} }
  const since = bao.auditMark()
  t.match(await outcomeOf(client.decrypt(old)), { code: 'INVALID_ARGUMENT' })
  t.equal(fixture.asked(since).length, 0)
  const heir = await fixture.startHealthy({
    kms: { ...KMS, clusterId: 'ours', acceptFrom: ['vault-kubernetes-kms'] },
  })
  t.same(await heir.client.decrypt(old), plaintext)
  t.same(await heir.client.decrypt(good), plaintext, 'beside its own')
  t.match((await heir.client.encrypt(plaintext)).keyId, /^tb1-/, 'and writes its own form')
  t.match(
    await outcomeOf(heir.client.decrypt({ ...good, keyId: '1', annotations: {} })),
    { code: 'INVALID_ARGUMENT', message: /message authentication failed/ },
    'ours does not pass for theirs',
  )
  await heir.stop()
})

void test('more calls at once than kms.maxCallsInFlight are refused as overload', async (t) => {
  const network = await fixture.tcpProxy()
  const narrow = await fixture.startHealthy({
    address: network.address,
    kms: { ...KMS, maxCallsInFlight: 4 },
  })
  await network.slow(500)
  const codes = await Promise.all(
    Array.from({ length: 8 }, async () => (await outcomeOf(narrow.client.encrypt(newSeed()))).code),
  )
  t.equal(codes.filter((code) => code === 'OK').length, 4)
  t.equal(codes.filter((code) => code === 'RESOURCE_EXHAUSTED').length, 4)
  await network.pass()
  t.match(await outcomeOf(narrow.client.encrypt(newSeed())), { code: 'OK' })
  t.match(await narrow.client.status(), { healthz: 'ok' })
  await narrow.stop()
})

void test('14,000 streams without a request do not exhaust the memory', async (t) => {
  const sessions = Array.from({ length: 8 }, () => {
    const session = connectHttp2('http://localhost', {
      createConnection: () => connect(plugin.socket),
    })
    session.on('error', () => undefined)
    return session
  })
  const part = Buffer.alloc(16_000)
  part.writeUInt32BE(120_000, 1)
  const streams: ClientHttp2Stream[] = []
  for (let count = 0; count < 14_000; count += 1) {
    const session = sessions[count % sessions.length]
    if (session === undefined || session.destroyed) continue
    const stream = session.request(ENCRYPT_HEADERS, { endStream: false })
    stream.on('error', () => undefined)
    if (count % 2 === 0) stream.write(part)
    streams.push(stream)
  }
  // Their connections are closed, or, when they arrive slowly, each of them.
  await eventually('the streams to be closed', () => streams.every(({ closed }) => closed))
  for (const session of sessions) session.destroy()
  await othersAreServed(t, bao.auditMark())
})

void test('none of this is an error in the log', async (t) => {
  await eventually('the last line', () => plugin.logLines().length > 0)
  const loud = plugin.logLines().filter(({ level }) => ['error', 'fatal'].includes(String(level)))
  t.same(loud, [])
})

fixture.end()
