import { after, test } from 'tap'
import { CSIDriverProvider } from '../../src/gen/csi/v1alpha1/service_pb.ts'
import { GrpcClient } from '../real/program/grpc-client.ts'
import { PodVault, newPod } from './pod-vault.ts'
import { startFixture } from './fixture.ts'

const VERSIONS = 11
const OBJECTS = 95

const vault = await PodVault.start()
after(() => vault.stop())
await vault.makeKey('orders', 'ed25519')
for (let version = 1; version < VERSIONS; version += 1)
  await vault.bao.api('POST', 'transit/keys/orders/rotate', {})

void test('a volume of more than 1,000 files is mounted again by a driver that sends all their versions', async (t) => {
  const fixture = await startFixture(vault)
  t.teardown(fixture.stop)
  const client = new GrpcClient(fixture.socket, 60_000)
  t.teardown(() => client.close())
  const objects = Array.from({ length: OBJECTS }, (_, index) => ({
    path: `key-${String(index)}`,
    type: 'publicKey',
    key: 'orders',
    version: 'all',
  }))
  const attributes = await vault.attributes(newPod(), objects)
  const request = { attributes, secrets: 'null', targetPath: '/v', permission: '420' }
  const { mount } = CSIDriverProvider.method
  const first = await client.call(mount, request)
  t.equal(first.files.length, VERSIONS * OBJECTS)
  const again = await client.call(mount, { ...request, currentObjectVersion: first.objectVersion })
  t.same(again.objectVersion, first.objectVersion)

  // Many unknown fields, and far too many of the versions.
  const unknown = Buffer.from([0x30, 0x01])
  const path = `/${CSIDriverProvider.typeName}/${mount.name}`
  for (const bytes of [Buffer.alloc(2_002, unknown), Buffer.alloc(400_000, Buffer.from([0x2a, 0]))])
    await t.rejects(client.send(path, bytes), { code: 'INVALID_ARGUMENT' })
})
