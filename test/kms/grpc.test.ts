import { join } from 'node:path'
import { test } from 'tap'
import { systemClock } from '../../src/time/clock.ts'
import { startGrpcServer } from '../../src/grpc/server.ts'
import { UnaryFunnel } from '../../src/grpc/unary.ts'
import { serveKmsV1Beta1 } from '../../src/kms/grpc-v1beta1.ts'
import { serveKmsV2 } from '../../src/kms/grpc-v2.ts'
import { memoryLog } from '../fakes/log.ts'
import { KmsClient } from '../real/program/kms-client.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { serviceFixture, type FixtureOptions } from './service-fixture.ts'

const seed = Buffer.from('0123456789abcdef0123456789abcdef')

/** The service behind both adapters on a real socket, and a client of it. */
async function adapterFixture(options: FixtureOptions = {}, given: { maxInFlight?: number } = {}) {
  const fixture = await serviceFixture(options)
  const funnel = new UnaryFunnel({
    clock: systemClock,
    log: memoryLog().log,
    onCall: () => undefined,
    maxInFlight: given.maxInFlight ?? 10,
  })
  // The hand-turned clock stands still, so deadlines by the system's clock lie far ahead of it.
  const socket = join(tempFolder('adapter'), 'kms.sock')
  const server = await startGrpcServer({
    socket,
    access: { mode: 0o600 },
    services: [
      serveKmsV2(fixture.service, funnel),
      serveKmsV1Beta1(fixture.service, funnel, '1.2.3'),
    ],
    clock: systemClock,
    log: memoryLog().log,
  })
  const client = new KmsClient(socket)
  const stop = async () => {
    client.close()
    await server.stop(100)
  }
  return { ...fixture, client, stop }
}

void test('KMS v2: Status, Encrypt and Decrypt as kube-apiserver calls them', async (t) => {
  const { client, stop } = await adapterFixture()
  t.teardown(stop)
  const status = await client.status()
  t.match(status, { version: 'v2', healthz: 'ok', keyId: /^tb1-/ })
  const sealed = await client.encrypt(seed)
  t.equal(sealed.keyId, status.keyId)
  t.same(Object.keys(sealed.annotations).toSorted(), [
    'cluster.transit-bridge.internal',
    'version.transit-bridge.internal',
  ])
  t.ok(sealed.ciphertext.length > 0 && sealed.ciphertext.length <= 1_024)
  t.same(await client.decrypt(sealed), seed)
})

void test('KMS v2: before Vault was reached Status reports that at once, with an empty key id', async (t) => {
  const { client, stop, counts } = await adapterFixture({ unreached: true })
  t.teardown(stop)
  t.match(await client.status(), { version: 'v2', healthz: /^starting: /, keyId: '' })
  t.same(counts(), { reads: 0, encrypts: 0, decrypts: 0 })
})

void test('KMS v2: changed data is refused with its code', async (t) => {
  const { client, stop } = await adapterFixture()
  t.teardown(stop)
  const { ciphertext, keyId, annotations } = await client.encrypt(seed)
  const good = { ciphertext, keyId, annotations }
  await t.rejects(client.decrypt({ ...good, keyId: 'x' }), { code: 'FAILED_PRECONDITION' })
  await t.rejects(client.decrypt({ ...good, annotations: {} }), { code: 'INVALID_ARGUMENT' })
  await t.rejects(client.decrypt({ ...good, ciphertext: seed }), { code: 'INVALID_ARGUMENT' })
})

void test('KMS v2: an additional annotation is refused, even one named __proto__', async (t) => {
  const { client, stop } = await adapterFixture()
  t.teardown(stop)
  const { ciphertext, keyId, annotations } = await client.encrypt(seed)
  for (const name of ['__proto__', 'constructor', 'a.b']) {
    const more = { ...annotations }
    Object.defineProperty(more, name, { value: seed, enumerable: true })
    const call = client.decrypt({ ciphertext, keyId, annotations: more })
    await t.rejects(call, { code: 'INVALID_ARGUMENT' }, name)
  }
})

void test('KMS v1: Version, Encrypt and Decrypt on the same socket', async (t) => {
  const { client, stop } = await adapterFixture()
  t.teardown(stop)
  t.match(await client.versionV1(), {
    version: 'v1beta1',
    runtimeName: 'transit-bridge',
    runtimeVersion: '1.2.3',
  })
  const ping = Buffer.from('ping')
  t.same(await client.decryptV1(await client.encryptV1(ping)), ping)
  await t.rejects(client.decryptV1(ping), { code: 'INVALID_ARGUMENT' })
})

void test('Status and Version are answered while all other calls are refused as overload', async (t) => {
  const { client, stop } = await adapterFixture({}, { maxInFlight: 0 })
  t.teardown(stop)
  await t.rejects(client.encrypt(seed), { code: 'RESOURCE_EXHAUSTED' })
  t.match(await client.status(), { healthz: 'ok' })
  t.match(await client.versionV1(), { version: 'v1beta1' })
})
