import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { test } from 'tap'
import { CsiCluster } from '../../real/cluster/csi-cluster.ts'
import { CsiDriver } from '../../real/cluster/csi-driver.ts'
import { FixedProvider } from '../../real/program/fixed-provider.ts'
import { whyNoMounts } from '../../real/host/mount-namespace.ts'

const PROVIDER = 'fixed'

/** The harness itself: driver, cluster and volumes around a provider that is a stand-in. */
void test('a driver with a stand-in for the provider', { skip: whyNoMounts() }, async (t) => {
  const cluster = await CsiCluster.start()
  t.teardown(() => cluster.stop())
  const { driver } = cluster
  const socket = join(driver.providersFolder, `${PROVIDER}.sock`)
  const provider = await FixedProvider.start(socket, {
    files: [
      { path: 'a.txt', mode: 0o400, text: 'one' },
      { path: 'deep/b.txt', mode: 0o644, text: 'two' },
    ],
    versions: { 'a.txt': '1', 'deep/b.txt': '1' },
  })
  t.teardown(() => provider.stop())
  await cluster.writeClass({
    name: 'files',
    provider: PROVIDER,
    objects: [],
    secretObjects: [
      { secretName: 'synced', type: 'Opaque', data: [{ objectName: 'a.txt', key: 'a' }] },
    ],
  })
  const pod = await cluster.createPod({ name: 'web', classes: 'files' })

  await t.test('publishes on tmpfs, with modes, status and Secret', async (t) => {
    const volume = await cluster.publish(pod, 'files')
    t.equal(volume.type, 'tmpfs')
    t.same(volume.files(), ['a.txt', 'deep/b.txt'])
    t.same([volume.text('a.txt'), volume.text('deep/b.txt')], ['one', 'two'])
    t.same([volume.mode('a.txt'), volume.mode('deep/b.txt')], ['0400', '0644'])
    t.equal(volume.owner('a.txt'), '0:0')
    t.match(provider.attributes, {
      role: 'web',
      secretProviderClass: 'files',
      'csi.storage.k8s.io/pod.name': 'web',
      'csi.storage.k8s.io/serviceAccount.name': 'web',
      'csi.storage.k8s.io/serviceAccount.tokens': /"vault":/,
    })
    t.match(await cluster.podStatus(pod, 'files'), {
      mounted: true,
      versions: { 'a.txt': '1', 'deep/b.txt': '1' },
    })
    await driver.waitUntil('the synced Secret', async () => {
      const { a } = await cluster.api.getSecret(pod.namespace, 'synced')
      return a === 'one'
    })
    t.ok((await driver.count('node_publish_total', { provider: PROVIDER })) >= 1)
    t.notMatch(readFileSync('/proc/self/mountinfo', 'utf8'), pod.uid, 'no other process sees it')
  })

  await t.test('republishes: the files are changed in one step', async (t) => {
    const volume = driver.volume(pod, 'files')
    const before = volume.generation
    const written = await cluster.podStatus(pod, 'files')
    await cluster.publish(pod, 'files')
    t.equal(volume.generation, before, 'the same content changes nothing')
    t.same(await cluster.podStatus(pod, 'files'), written)
    provider.content = {
      files: [{ path: 'a.txt', mode: 0o400, text: 'three' }],
      versions: { 'a.txt': '2' },
    }
    await cluster.publish(pod, 'files')
    t.not(volume.generation, before)
    t.same(volume.files(), ['a.txt'])
    t.equal(volume.text('a.txt'), 'three')
    t.match(await cluster.podStatus(pod, 'files'), { versions: { 'a.txt': '2' } })
    await driver.waitUntil('the synced Secret', async () => {
      const { a } = await cluster.api.getSecret(pod.namespace, 'synced')
      return a === 'three'
    })
  })

  await t.test('an error on republish is hidden, and the files stay', async (t) => {
    const errors = await driver.count('rotation_reconcile_error_total')
    provider.failure = { code: status.FAILED_PRECONDITION, details: 'not now' }
    const volume = await cluster.publish(pod, 'files')
    t.equal(volume.text('a.txt'), 'three')
    t.equal(await driver.count('rotation_reconcile_error_total'), errors + 1)
  })

  await t.test('an error on first publish is reported, and nothing stays mounted', async (t) => {
    const late = await cluster.createPod({ name: 'late', classes: 'files' })
    const failed = cluster.publish(late, 'files')
    await t.rejects(failed, { code: 'FAILED_PRECONDITION', message: /not now/ })
    t.equal(driver.volume(late, 'files').type, undefined)
    provider.failure = undefined
    t.equal((await cluster.publish(late, 'files')).text('a.txt'), 'three')
  })

  await t.test('tokens come in secrets, too', async (t) => {
    const tokens = await cluster.tokens(pod, 'other')
    await driver.publish(pod, { class: 'files', tokens, tokensInSecrets: true })
    t.match(provider.attributes['csi.storage.k8s.io/serviceAccount.tokens'], /"other":/)
    t.match(provider.requests.at(-1)?.secrets, /other/)
  })

  await t.test('survives a restart of the driver, and unmounts', async (t) => {
    await driver.restart()
    const volume = await cluster.publish(pod, 'files')
    t.equal(volume.type, 'tmpfs')
    await driver.unpublish(pod, 'files')
    t.equal(volume.type, undefined)
    t.notOk(driver.hasLeaf(pod, 'files'))
    await driver.unpublish(pod, 'files')
  })

  await t.test(
    'an error that the kubelet finds uncertain makes the next try a false success',
    async (t) => {
      const other = await CsiDriver.start({
        api: cluster.api,
        nodeId: 'node-2',
        rotationMs: 60_000,
      })
      t.teardown(() => other.stop())
      const { content } = provider
      const second = await FixedProvider.start(
        join(other.providersFolder, `${PROVIDER}.sock`),
        content,
      )
      t.teardown(() => second.stop())
      const publication = { class: 'files', tokens: await cluster.tokens(pod) }
      second.failure = { code: status.UNAVAILABLE, details: 'away' }
      await t.rejects(other.publish(pod, publication), { code: 'UNAVAILABLE', message: /away/ })
      t.equal(second.requests.length, 3, 'the driver itself tried three times')
      second.failure = undefined
      const empty = await other.publish(pod, publication)
      t.equal(empty.type, undefined, 'no error, and nothing is mounted')
      t.equal(second.requests.length, 3, 'nor was the provider asked')

      second.failure = { code: status.FAILED_PRECONDITION, details: 'away' }
      const certain = { ...publication, volumeName: 'certain' }
      await t.rejects(other.publish(pod, certain), { code: 'FAILED_PRECONDITION', message: /away/ })
      second.failure = undefined
      t.equal((await other.publish(pod, certain)).type, 'tmpfs')
    },
  )
})
