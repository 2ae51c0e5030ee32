// The driver's rotationPollInterval, as docs/operations/csi-changes.md describes it.
import { join } from 'node:path'
import { test } from 'tap'
import { CsiCluster } from '../../real/cluster/csi-cluster.ts'
import { CsiDriver } from '../../real/cluster/csi-driver.ts'
import { whyNoMounts } from '../../real/host/mount-namespace.ts'
import { FixedProvider } from '../../real/program/fixed-provider.ts'

const HOUR_MS = 3_600_000
const CONTENT = {
  files: [{ path: 'a', mode: 0o444, text: 'one' }],
  versions: { a: '1' },
}

void test(
  'the interval counts from the last change of the files',
  { skip: whyNoMounts() },
  async (t) => {
    const cluster = await CsiCluster.start({ rotationMs: HOUR_MS })
    t.teardown(() => cluster.stop())
    const { api } = cluster
    await cluster.writeClass({ name: 'files', provider: 'fixed', objects: [] })
    const pod = await cluster.createPod({ name: 'web', classes: 'files' })
    const start = async (driver: CsiDriver) => {
      const provider = await FixedProvider.start(
        join(driver.providersFolder, 'fixed.sock'),
        CONTENT,
      )
      t.teardown(() => provider.stop())
      return provider
    }

    await t.test('within it, a republish is not passed on', async (t) => {
      const provider = await start(cluster.driver)
      const volume = await cluster.publish(pod, 'files')
      const asked = provider.requests.length
      provider.content = { ...CONTENT, versions: { a: '2' } }
      await cluster.publish(pod, 'files')
      t.equal(provider.requests.length, asked)
      t.equal(volume.text('a'), 'one')
    })

    await t.test('after it, every republish is passed on while nothing changes', async (t) => {
      const driver = await CsiDriver.start({ api, nodeId: 'node-2', rotationMs: 1_000 })
      t.teardown(() => driver.stop())
      const provider = await start(driver)
      const tokens = await cluster.tokens(pod)
      const publish = () => driver.publish(pod, { class: 'files', tokens })
      await driver.waitUntil('the class', () =>
        publish().then(
          () => true,
          () => false,
        ),
      )
      const first = provider.requests.length
      await driver.waitUntil('the end of the interval', async () => {
        await publish()
        return provider.requests.length > first
      })
      for (let more = 1; more <= 3; more += 1) {
        const before = provider.requests.length
        await publish()
        t.equal(provider.requests.length, before + 1)
      }
    })
  },
)
