// The life of volumes with a socket on a real node: a removed role, reboot, a second driver, a deleted service account, tokens that
// expire, a pod that is deleted while its calls run. npm run test:runtime-node.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { whyNoNode } from '../../real/cluster/kube-node.ts'
import { pod, SHOP, startRuntimeNode } from './runtime-node.ts'
import { startGateway } from './csi-node.ts'

/** Vault tokens of this test end soon, so that the pod logs in again. */
const VAULT_TOKEN_SECONDS = 20
/** The shortest lifetime that the API server grants. */
const POD_TOKEN_SECONDS = 600

/** Hashes five times a second, for as long as the pod runs, and prints each response that differs from the one before it. */
const LOOP = `
  const { request } = require('node:http')
  let last
  const note = (text) => { if (text !== last) console.log(last = text) }
  const ask = () => {
    const sent = request({ socketPath: '/transit/vault.sock', path: '/v1/transit/hash', method: 'POST', agent: false, timeout: 2000 }, (response) => {
      let text = ''
      response.on('data', (chunk) => text += chunk).on('end', () => note(response.statusCode === 200 ? '200' : response.statusCode + ' ' + text.trim()))
    })
    sent.on('timeout', () => sent.destroy()).on('error', () => undefined).end('{"input":"YQ=="}')
  }
  setInterval(ask, 200)`

void test('volumes with a socket on a node', { skip: whyNoNode() }, async (t) => {
  const { node, vault, driver } = await startRuntimeNode(t, { tokenSeconds: POD_TOKEN_SECONDS })
  const rolePath = 'auth/jwt/role/signer'
  const writeRole = async (role: object) => {
    await vault.bao.api('POST', rolePath, role)
  }
  const role = {
    ...((await vault.bao.api('GET', rolePath)).data as object),
    token_ttl: VAULT_TOKEN_SECONDS,
    expiration_leeway: -1,
  }
  await writeRole(role)
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

  /** The last response that the pod printed. */
  const lastResponse = async () => {
    const files = '/var/log/pods/shop_loop_*/main/*.log'
    const reading = node.run('pod-log', 'sh', ['-c', `tail -qn 1 $(ls -tr ${files} | tail -n 1)`])
    await reading.finished()
    // The output of earlier calls comes first.
    return [...reading.output().matchAll(/ F (.*)/g)].at(-1)?.[1] ?? ''
  }
  const waitForResponse = async (pattern: RegExp, timeoutMs = 120_000) => {
    let last = ''
    const isSeen = async () => pattern.test((last = await lastResponse()))
    const patience = { timeoutMs, intervalMs: 1_000 }
    await node.waitUntil(`the pod to see ${String(pattern)}`, isSeen, patience)
    return last
  }

  await t.test(
    'the role of the pod is removed: it sees 403, and 200 again when the role is back',
    async (t) => {
      await waitForResponse(/^200$/)
      await vault.bao.api('DELETE', rolePath)
      t.match(await waitForResponse(/^403 /), /login at auth\/jwt with role .*signer.* was refused/)
      await writeRole(role)
      await waitForResponse(/^200$/)
    },
  )

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

  await t.test('after the last token of the pod has expired, it sees 403', async (t) => {
    const patienceMs = (POD_TOKEN_SECONDS + 3 * VAULT_TOKEN_SECONDS) * 1000
    t.match(
      await waitForResponse(/^403 /, patienceMs),
      /login at auth\/jwt .* was refused.*expired/,
    )
  })

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
