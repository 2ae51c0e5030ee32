import { create, toBinary } from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import { after, end, test, type Test } from 'tap'
import { MountRequestSchema } from '../../src/gen/csi/v1alpha1/service_pb.ts'
import { readPeakMemory } from '../../bench/process-figures.ts'
import { CsiClient } from '../real/program/csi-client.ts'
import { Provider } from '../real/program/provider.ts'
import { UnreadingClient } from '../real/program/unreading-client.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { PodVault, newPod } from './pod-vault.ts'
import { ALLOW_ALL } from './fixture.ts'

const MOUNT = '/v1alpha1.CSIDriverProvider/Mount'
/** The memory limit of the chart (csi.resources), in MiB. */
const MEMORY_LIMIT = 256

const vault = await PodVault.start()
after(() => vault.stop())
await vault.makeKey('app-data')

/** The file of this class has 600,000 bytes. */
const LARGE = [
  {
    name: 'value',
    type: 'decrypt',
    key: 'app-data',
    ciphertext: await vault.encrypt('app-data', 'x'.repeat(6_000)),
  },
  { path: 'large', type: 'template', text: '{{ value }}'.repeat(100) },
]

async function startProvider(t: Test) {
  const provider = await Provider.start(tempFolder('providers'), {
    vault: { address: vault.bao.address },
    csi: { audience: 'vault', rules: [{ ...ALLOW_ALL }] },
    log: { level: 'warn' },
  })
  t.teardown(() => provider.stop())
  const driver = new CsiClient(provider.socket)
  t.teardown(() => driver.close())
  return { provider, driver }
}

void test('clients that read no response neither exhaust the memory of the built program nor stop the driver', async (t) => {
  const { provider, driver } = await startProvider(t)
  const attributes = await vault.attributes(newPod(), LARGE)
  const request = { attributes, secrets: 'null', targetPath: '/v', permission: '420' }
  const message = toBinary(MountRequestSchema, create(MountRequestSchema, request))

  const received: (number | 'unread')[] = []
  for (let client = 0; client < 4; client += 1) {
    const unreading = await UnreadingClient.connect(provider.socket)
    t.teardown(() => unreading.close())
    for (let batch = 0; batch < 5; batch += 1)
      received.push(
        ...(await Promise.all(Array.from({ length: 20 }, () => unreading.call(MOUNT, message)))),
      )
  }
  const unread = received.filter((each) => each === 'unread').length
  // Together less than 32 MiB.
  t.ok(unread > 20 && unread < 64, String(unread))
  // Never RESOURCE_EXHAUSTED, after which a pod could start without its files.
  const refused = received.filter((each) => each === status.FAILED_PRECONDITION).length
  t.equal(unread + refused, received.length)
  const { text } = await provider.admin('/metrics')
  t.match(text, /^transit_bridge_csi_volumes_failing\{reason="OVERLOADED"\} 1$/m)
  const { files } = await driver.mount({ attributes })
  t.equal(files.get('large')?.contents.length, 600_000)
  const peak = await readPeakMemory(provider.program.pid)
  t.ok(peak < MEMORY_LIMIT, `${peak.toFixed(0)} MiB`)
  t.comment(`peak ${peak.toFixed(0)} MiB, ${String(unread)} responses unread`)
})

void test('the driver receives the large volumes of 60 pods that start at once', async (t) => {
  const { provider, driver } = await startProvider(t)
  const pods = await Promise.all(
    Array.from({ length: 60 }, () => vault.attributes(newPod(), LARGE)),
  )
  const mounted = await Promise.all(pods.map((attributes) => driver.mount({ attributes })))
  for (const { files } of mounted) t.equal(files.get('large')?.contents.length, 600_000)
  const peak = await readPeakMemory(provider.program.pid)
  t.ok(peak < MEMORY_LIMIT, `${peak.toFixed(0)} MiB`)
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
