import { test } from 'tap'
import { CsiDriver } from '../../real/cluster/csi-driver.ts'
import { whyNoMounts } from '../../real/host/mount-namespace.ts'
import { makeKey } from '../../real/vault/transit-setup.ts'
import { csiConfiguration, startCsiStack, startProvider } from './csi-stack.ts'

void test('Vault is unavailable', { skip: whyNoMounts() }, async (t) => {
  const { cluster, vault, proxy, provider } = await startCsiStack(t, {
    csi: { revalidateAfter: '0s' },
  })
  const { bao } = vault
  await makeKey(bao, 'app-data')
  const ciphertext = await vault.encrypt('app-data', 'the only password')
  await cluster.writeClass({
    name: 'web',
    objects: [
      { path: 'info', type: 'keyInfo', key: 'app-data' },
      { path: 'password', type: 'decrypt', key: 'app-data', ciphertext },
    ],
  })

  await t.test('a new pod waits, gets the reason, and starts when Vault is back', async (t) => {
    // As in production, a recently created folder is not checked again; csi-driver.test.ts shows the effect.
    const slow = await CsiDriver.start({ api: cluster.api, nodeId: 'node-2', rotationMs: 120_000 })
    t.teardown(() => slow.stop())
    await startProvider(t, slow, csiConfiguration(proxy.address))
    for (const [name, leave, comeBack, words] of [
      ['refused', () => proxy.refuse(), () => proxy.pass(), /vault/i],
      ['hanging', () => proxy.hang(), () => proxy.pass(), /vault/i],
      ['sealed', () => bao.seal(), () => bao.unseal(), /sealed/i],
    ] as const) {
      const pod = await cluster.createPod({ name, classes: 'web' })
      const publication = { class: 'web', tokens: await cluster.tokens(pod) }
      await leave()
      const startedAt = performance.now()
      const rejected = { code: 'FAILED_PRECONDITION', message: words }
      await t.rejects(slow.publish(pod, publication), rejected, name)
      t.comment(`${name}: told after ${Math.round(performance.now() - startedAt)} ms`)
      t.ok(performance.now() - startedAt < 60_000, 'well before the kubelet gives up (2 min)')
      t.equal(slow.volume(pod, 'web').type, undefined, 'nothing is mounted')
      await comeBack()
      const cameBackAt = performance.now()
      // A failed login is tried again after up to 5 s, and the kubelet retries automatically.
      await slow.waitUntil('a try that succeeds', async () => {
        await slow.publish(pod, publication)
        return true
      })
      t.comment(
        `${name}: served ${Math.round(performance.now() - cameBackAt)} ms after Vault is back`,
      )
      const volume = slow.volume(pod, 'web')
      t.equal(volume.type, 'tmpfs', `${name}: a success that has mounted`)
      t.equal(volume.text('password'), 'the only password')
    }
  })

  await t.test('a pod that runs keeps its files, and the driver counts the failures', async (t) => {
    const pod = await cluster.createPod({ name: 'running', classes: 'web' })
    const volume = await cluster.publish(pod, 'web')
    const before = { generation: volume.generation, status: await cluster.podStatus(pod, 'web') }
    for (const [name, leave, comeBack] of [
      ['refused', () => proxy.refuse(), () => proxy.pass()],
      ['sealed', () => bao.seal(), () => bao.unseal()],
    ] as const) {
      const errors = await cluster.driver.count('rotation_reconcile_error_total')
      await leave()
      await cluster.publish(pod, 'web')
      t.equal(await cluster.driver.count('rotation_reconcile_error_total'), errors + 1, name)
      t.equal(volume.generation, before.generation)
      t.equal(volume.text('password'), 'the only password')
      t.same(await cluster.podStatus(pod, 'web'), before.status)
      await comeBack()
      await cluster.publish(pod, 'web')
      t.equal(await cluster.driver.count('rotation_reconcile_error_total'), errors + 1)
    }
    const { text } = await provider.admin('/metrics')
    t.match(
      text,
      /^transit_bridge_csi_oldest_content_timestamp_seconds \d/m,
      'staleness can be seen',
    )
  })
})
