import { test } from 'tap'
import type { CsiPod } from '../../real/cluster/csi-driver.ts'
import { whyNoMounts } from '../../real/host/mount-namespace.ts'
import { makeKey, rotateKey } from '../../real/vault/transit-setup.ts'
import { startCsiStack } from './csi-stack.ts'

const PODS = 30
const REPUBLISHES = 3

/** All pods of a node start at once, as after a power cut. */
void test('30 pods with 5 objects each', { skip: whyNoMounts() }, async (t) => {
  const { cluster, driver, vault, provider } = await startCsiStack(t)
  const { bao } = vault
  await makeKey(bao, 'app-signing', { type: 'ecdsa-p256' })
  await makeKey(bao, 'app-data')
  const { plain, wrapped } = await vault.makeDataKey('app-data')
  const one = await vault.encrypt('app-data', 'the first password')
  const two = await vault.encrypt('app-data', 'the second password')
  await cluster.writeClass({
    name: 'web',
    objects: [
      { path: 'signing.pem', type: 'publicKey', key: 'app-signing' },
      { path: 'jwks.json', type: 'jwks', key: 'app-signing' },
      { path: 'dek', type: 'dataKey', key: 'app-data', wrapped },
      { path: 'one', type: 'decrypt', key: 'app-data', ciphertext: one },
      { path: 'two', type: 'decrypt', key: 'app-data', ciphertext: two },
    ],
  })
  const pods: CsiPod[] = []
  for (let number = 0; number < PODS; number += 1) {
    pods.push(await cluster.createPod({ name: `web-${number}`, classes: 'web' }))
  }
  await Promise.all(pods.map((pod) => cluster.tokens(pod)))
  const publishAll = () => Promise.all(pods.map((pod) => cluster.publish(pod, 'web')))

  await t.test(
    'every pod receives its files, with one login and one decrypt request',
    async (t) => {
      const volumes = await publishAll()
      for (const volume of volumes) {
        t.same(volume.files(), ['dek', 'jwks.json', 'one', 'signing.pem', 'two'])
        t.ok(volume.read('dek').equals(plain))
        t.equal(
          `${volume.text('one')}, ${volume.text('two')}`,
          'the first password, the second password',
        )
      }
      // Vault's audit would also have the requests that a slow machine does not answer in time, and that are sent again.
      const { text } = await provider.admin('/metrics')
      t.match(text, `\ntransit_bridge_vault_logins_total{method="jwt",outcome="ok"} ${PODS}\n`)
      t.match(
        text,
        new RegExp(`vault_request_duration_seconds_count{.*"decrypt".*"ok".*} ${PODS}\n`),
      )
    },
  )

  await t.test('republishes only read key metadata', async (t) => {
    const since = bao.auditMark()
    for (let round = 0; round < REPUBLISHES; round += 1) await publishAll()
    const paths = bao.auditRequests({ since }).map(({ path }) => path)
    t.same(
      [...new Set(paths)].filter((path) => path !== 'transit/keys/app-signing'),
      [],
    )
  })

  await t.test('a rotation reaches every volume', async (t) => {
    await rotateKey(bao, 'app-signing')
    const { data } = await bao.api('GET', 'transit/keys/app-signing')
    const pem = String(data.keys['2'].public_key)
    await driver.waitUntil('the new key in every volume', async () => {
      const volumes = await publishAll()
      return volumes.every((volume) => volume.text('signing.pem') === pem)
    })
    const statuses = await Promise.all(pods.map((pod) => cluster.podStatus(pod, 'web')))
    t.equal(new Set(statuses.map((each) => JSON.stringify(each?.versions))).size, 1)
  })

  await t.test('metrics count the volumes, and the driver has no errors', async (t) => {
    await provider.program.waitUntil('the volumes in the metrics', async () => {
      const { text } = await provider.admin('/metrics')
      return new RegExp(`^transit_bridge_csi_volumes ${PODS}$`, 'm').test(text)
    })
    t.equal(await driver.count('rotation_reconcile_error_total'), 0)
    t.equal(await driver.count('node_publish_error_total'), 0)
  })

  await t.test('unpublish removes the volumes, and stop revokes all Vault tokens', async (t) => {
    await Promise.all(pods.map((pod) => driver.unpublish(pod, 'web')))
    t.ok(pods.every((pod) => driver.volume(pod, 'web').type === undefined))
    const since = bao.auditMark()
    await provider.stop()
    t.equal(bao.auditRequests({ since, path: 'auth/token/revoke-self' }).length, PODS)
  })
})
