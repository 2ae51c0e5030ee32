// The life of volumes with a socket on a real node: reboot, a second driver, a deleted service account, a pod that is deleted while
// its calls run. npm run test:runtime-node.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { whyNoNode } from '../../real/cluster/kube-node.ts'
import { pod, SHOP, startRuntimeNode } from './runtime-node.ts'
import { startGateway } from './csi-node.ts'

/** Hashes five times a second, for as long as the pod runs. Vault's audit shows the pod. */
const LOOP = `
  const { request } = require('node:http')
  const ask = () => {
    const sent = request({ socketPath: '/transit/vault.sock', path: '/v1/transit/hash', method: 'POST', agent: false, timeout: 2000 }, (response) => response.resume())
    sent.on('timeout', () => sent.destroy()).on('error', () => undefined).end('{"input":"YQ=="}')
  }
  setInterval(ask, 200)`

void test('volumes with a socket on a node', { skip: whyNoNode() }, async (t) => {
  const { node, vault, driver } = await startRuntimeNode(t)
  const account = { metadata: { name: 'signer' } }
  await node.api('POST', `${SHOP}/serviceaccounts`, account)
  const change = { restartPolicy: 'Always', serviceAccountName: 'signer' } as const
  await node.api('POST', `${SHOP}/pods`, pod('loop', LOOP, change))

  /** Waits until Vault answers a request of the pod that was sent from now on. */
  const waitForRequest = async () => {
    const since = vault.bao.auditMark()
    await node.waitUntil('a request of the pod', () =>
      vault.bao
        .auditRequests({ since, path: 'transit/hash' })
        .some(
          ({ headers, error }) =>
            error === undefined && headers['x-transit-bridge-uid']?.[0]?.startsWith('shop/loop/'),
        ),
    )
  }
  await waitForRequest()

  await t.test('a second driver ends, and the first one continues', async (t) => {
    const second = driver.start()
    t.match(await second.ended(), { code: 1 })
    t.match(second.output(), /another process serves/)
    await waitForRequest()
  })

  await t.test('after a reboot of the node, the same pod uses its socket again', async (t) => {
    const { metadata } = await node.api('GET', `${SHOP}/pods/loop`)
    await node.cutPower()
    node.powerOn()
    await node.waitReady()
    startGateway(node)
    driver.start()
    await waitForRequest()
    const after = await node.api('GET', `${SHOP}/pods/loop`)
    t.equal(after.metadata.uid, metadata.uid)
  })

  await t.test(
    'the account of the pod is deleted: its last token is valid until it expires',
    async (t) => {
      await node.api('DELETE', `${SHOP}/serviceaccounts/signer`)
      await waitForRequest()
      t.pass('deleting the account does not end the access of a pod that runs')
    },
  )

  await t.test('a pod that is deleted while its calls run leaves nothing behind', async (t) => {
    const folders = () => readdirSync(join(node.folder, 'disk/lib/kubelet/pods'))
    await node.api('DELETE', `${SHOP}/pods/loop`)
    await node.waitUntil('the pod to be gone', async () => {
      const { items } = await node.api('GET', `${SHOP}/pods`)
      return items.length === 0 && folders().length === 0
    })
    t.pass('kubelet removed the folder of the pod')
  })
})
