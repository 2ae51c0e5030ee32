// Volumes with a socket on a real node: kubelet registers our own CSI driver, with the object of docs/runtime.md, and pods
// use Transit without a token.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { parse, stringify } from 'yaml'

import { buildProgram } from '../../commands/program.ts'
import { DocumentText } from '../../csi/document.ts'
import { KubeNode, whyNoNode } from '../../real/cluster/kube-node.ts'
import { buildImageArchive, IMAGE } from '../../real/cluster/node-image.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import type { Program } from '../../real/program/program.ts'
import { CsiVault } from '../../real/vault/csi-vault.ts'
import { auditHeader, makeKey, writePolicy } from '../../real/vault/transit-setup.ts'
import { ADDRESS, forwardVault } from './csi-node.ts'

const DRIVER = 'transit.transit-bridge.io'
const SHOP = '/api/v1/namespaces/shop'
const PROGRAM = join(import.meta.dirname, '../../../bin/transit-bridge')
/** What an administrator writes for all roles of the socket; see docs/runtime.md. */
const POLICY = readFileSync(join(import.meta.dirname, '../../../vault-policies/socket.hcl'), 'utf8')

/** Signs, verifies, tries another team's key, and looks for a token of Vault in what the pod can see. */
const SIGNER = `
  const { request } = require('node:http')
  const { readdirSync, readFileSync, writeFileSync } = require('node:fs')
  const ask = (path, body) => new Promise((resolve, reject) => {
    const sent = request({ socketPath: '/transit/vault.sock', path: '/v1/' + path, method: body ? 'POST' : 'GET', agent: false }, (response) => {
      let text = ''
      response.on('data', (chunk) => (text += chunk)).on('end', () => resolve({ status: response.statusCode, ...JSON.parse(text) }))
    })
    sent.on('error', reject).end(body && JSON.stringify(body))
  })
  const main = async () => {
    const input = Buffer.from('a release').toString('base64')
    const signed = await ask('transit/sign/app-signing', { input })
    const verified = await ask('transit/verify/app-signing', { input, signature: signed.data.signature })
    const other = await ask('transit/sign/team-signing', { input })
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8') + readFileSync('/proc/self/environ', 'utf8')
    return { valid: verified.data.valid, other: other.status, files: readdirSync('/transit'), token: /hvs?\\.|\\bs\\.[A-Za-z0-9]{20}/.test(mounts), user: process.getuid() }
  }
  main().then(JSON.stringify, String).then((words) => writeFileSync('/dev/termination-log', words))`

/** Hashes without a pause, even while the driver is down; reports how often that failed, and for how long at most. */
const LOADER = `
  const { request, Agent } = require('node:http')
  const { writeFileSync } = require('node:fs')
  const agent = new Agent({ keepAlive: true })
  const ask = () => new Promise((resolve) => {
    const sent = request({ socketPath: '/transit/vault.sock', path: '/v1/transit/hash', method: 'POST', agent, timeout: 2000 }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode))
    })
    sent.on('timeout', () => sent.destroy()).on('error', () => resolve(0)).end('{"input":"YQ=="}')
  })
  const main = async () => {
    const seen = {}, end = Date.now() + 15000
    let answered = Date.now(), gap = 0
    while (Date.now() < end) {
      const status = await ask()
      seen[status] = (seen[status] ?? 0) + 1
      if (status === 200) { gap = Math.max(gap, Date.now() - answered); answered = Date.now() }
      else await new Promise((resolve) => setTimeout(resolve, 20))
    }
    return { seen, gap, last: await ask() }
  }
  main().then(JSON.stringify, String).then((words) => writeFileSync('/dev/termination-log', words))`

async function startVault(t: Test, node: KubeNode, authority: CertificateAuthority) {
  const vault = await CsiVault.start(node.signer, {
    tls: await authority.server('vault', { names: [ADDRESS] }),
  })
  t.teardown(() => vault.stop())
  await writePolicy(vault.bao, 'signer', POLICY)
  await vault.writeRole({
    role: 'signer',
    subjects: ['system:serviceaccount:shop:*'],
    policies: ['signer'],
  })
  await auditHeader(vault.bao, 'X-Transit-Bridge-UID')
  await makeKey(vault.bao, 'app-signing', { type: 'ecdsa-p256' })
  await makeKey(vault.bao, 'team-signing', { type: 'ecdsa-p256' })
  await forwardVault(t, node, vault.bao.port)
  return vault
}

/** The driver beside kubelet, as in a DaemonSet with the same paths. */
class NodeDriver {
  readonly #node: KubeNode
  readonly #config: string
  readonly #pidFile: string
  #runs = 0

  constructor(node: KubeNode, caFile: string) {
    this.#node = node
    this.#config = join(node.folder, 'csi.yaml')
    this.#pidFile = join(node.folder, 'csi.pid')
    const rule = {
      namespaces: ['shop'],
      serviceAccounts: ['*'],
      roles: ['signer'],
      keys: ['app-*'],
      operations: ['sign', 'verify', 'hash'],
    }
    const csi = { audience: 'vault', rules: [rule], runtime: { enabled: true, nodeName: 'node-1' } }
    const document = {
      vault: { address: `https://${ADDRESS}:8200`, caFile },
      csi,
      admin: { listen: 'none' },
    }
    writeFileSync(this.#config, stringify(document))
  }

  start(): Program {
    this.#runs += 1
    const folders = '/var/lib/kubelet/plugins/transit.transit-bridge.io /run/transit-bridge'
    const script = `mkdir -p ${folders}; echo $$ > ${this.#pidFile}; exec ${PROGRAM} csi --config ${this.#config}`
    return this.#node.run(`runtime-${String(this.#runs)}`, 'sh', ['-c', script])
  }

  async kill(): Promise<void> {
    const script = `kill -KILL $(cat ${this.#pidFile})`
    await this.#node.run('kill', 'sh', ['-c', script]).finished()
  }
}

function pod(name: string, script: string): object {
  return {
    metadata: { name },
    spec: {
      restartPolicy: 'Never',
      securityContext: { runAsUser: 65534, runAsGroup: 65534 },
      containers: [
        {
          name: 'main',
          image: `${IMAGE.repository}:${IMAGE.tag}`,
          imagePullPolicy: 'Never',
          command: ['/usr/bin/node', '-e', script],
          volumeMounts: [{ name: 'transit', mountPath: '/transit' }],
        },
      ],
      volumes: [
        {
          name: 'transit',
          csi: { driver: DRIVER, readOnly: true, volumeAttributes: { role: 'signer' } },
        },
      ],
    },
  }
}

async function lastWords(t: Test, node: KubeNode, name: string) {
  let words = ''
  try {
    await node.waitUntil(`pod ${name} to end`, async () => {
      const { status } = await node.api('GET', `${SHOP}/pods/${name}`)
      words = status.containerStatuses?.[0]?.state?.terminated?.message ?? ''
      return words !== ''
    })
  } catch (error) {
    const events = await node.api('GET', `${SHOP}/events`)
    t.comment(JSON.stringify(events.items.map((e: { message: string }) => e.message)))
    throw error
  }
  t.match(words, /^\{/)
  return JSON.parse(words) as Record<string, unknown>
}

void test('a pod signs through the socket in its volume', { skip: whyNoNode() }, async (t) => {
  buildProgram()
  const node = await KubeNode.start(await buildImageArchive())
  t.teardown(() => node.stop())
  const authority = await CertificateAuthority.create()
  const vault = await startVault(t, node, authority)
  const caFile = join(node.folder, 'vault-ca.pem')
  writeFileSync(caFile, authority.caPem)
  const csiDriver = parse(new DocumentText('runtime.md').block('example: csidriver')) as object
  await node.api('POST', '/apis/storage.k8s.io/v1/csidrivers', csiDriver)
  const driver = new NodeDriver(node, caFile)
  driver.start()
  await node.waitUntil('the driver to be known to the node', async () => {
    const { status, body } = await node.request('GET', '/apis/storage.k8s.io/v1/csinodes/node-1')
    return status === 200 && JSON.stringify(body.spec.drivers).includes(DRIVER)
  })
  await node.api('POST', '/api/v1/namespaces', { metadata: { name: 'shop' } })
  await node.waitUntil(
    'the service account of the pods',
    async () => (await node.request('GET', `${SHOP}/serviceaccounts/default`)).status === 200,
  )

  await t.test('it signs and verifies, and has no token', async (t) => {
    const since = vault.bao.auditMark()
    await node.api('POST', `${SHOP}/pods`, pod('signer', SIGNER))
    t.same(await lastWords(t, node, 'signer'), {
      valid: true,
      other: 403,
      files: ['vault.sock'],
      token: false,
      user: 65534,
    })
    const requests = vault.bao.auditRequests({ since, path: /^transit\/sign/ })
    t.same(
      requests.map(({ path }) => path),
      ['transit/sign/app-signing'],
    )
    t.match(requests[0]?.headers['x-transit-bridge-uid']?.[0], /^shop\/signer\//)
  })

  await t.test(
    'the driver is killed under load, and the pod goes on when it is back',
    async (t) => {
      await node.api('POST', `${SHOP}/pods`, pod('loader', LOADER))
      await node.waitUntil('the pod to run', async () => {
        const { status } = await node.api('GET', `${SHOP}/pods/loader`)
        return status.containerStatuses?.[0]?.state?.running !== undefined
      })
      await driver.kill()
      driver.start()
      const words = await lastWords(t, node, 'loader')
      t.comment(JSON.stringify(words))
      t.match(words, { last: 200 })
    },
  )

  await t.test('a pod that is deleted leaves nothing behind', async (t) => {
    const folders = () => readdirSync(join(node.folder, 'disk/lib/kubelet/pods'))
    for (const name of ['signer', 'loader']) await node.api('DELETE', `${SHOP}/pods/${name}`)
    await node.waitUntil('the pods to be gone', async () => {
      const { items } = await node.api('GET', `${SHOP}/pods`)
      return items.length === 0 && folders().length === 0
    })
    t.pass('kubelet removed the folders of the pods')
  })
})
