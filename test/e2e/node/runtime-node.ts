// A node with the driver of csi.runtime beside the kubelet, with the object of docs/runtime.md, and a Vault for its pods.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { parse, stringify } from 'yaml'

import { buildProgram } from '../../commands/program.ts'
import { DocumentText } from '../../csi/document.ts'
import { KubeNode } from '../../real/cluster/kube-node.ts'
import { buildImageArchive, IMAGE } from '../../real/cluster/node-image.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import type { Program } from '../../real/program/program.ts'
import { CsiVault } from '../../real/vault/csi-vault.ts'
import { auditHeader, makeKey, writePolicy } from '../../real/vault/transit-setup.ts'
import { ADDRESS, forwardVault } from './csi-node.ts'

const DRIVER = 'transit.transit-bridge.io'
export const SHOP = '/api/v1/namespaces/shop'
const PROGRAM = join(import.meta.dirname, '../../../bin/transit-bridge')
/** What an administrator writes for all roles of the socket; see docs/runtime.md. */
const POLICY = readFileSync(join(import.meta.dirname, '../../../vault-policies/socket.hcl'), 'utf8')

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

/** The driver beside the kubelet, as in a DaemonSet with the same paths. */
export class NodeDriver {
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

export interface PodChange {
  readonly restartPolicy?: 'Always' | 'Never'
  readonly serviceAccountName?: string
}

export function pod(name: string, script: string, change: PodChange = {}): object {
  return {
    metadata: { name },
    spec: {
      restartPolicy: 'Never',
      ...change,
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

export interface RuntimeNodeOptions {
  /** Lifetime of the pods' tokens. Default: that of docs/runtime.md. */
  readonly tokenSeconds?: number
}

/** Boots the node, starts Vault and the driver, and creates the namespace of the pods. */
export async function startRuntimeNode(t: Test, options: RuntimeNodeOptions = {}) {
  const { tokenSeconds = 3_600 } = options
  buildProgram()
  const node = await KubeNode.start(await buildImageArchive())
  t.teardown(() => node.stop())
  const authority = await CertificateAuthority.create()
  const vault = await startVault(t, node, authority)
  const caFile = join(node.folder, 'vault-ca.pem')
  writeFileSync(caFile, authority.caPem)
  const text = new DocumentText('runtime.md').block('example: csidriver')
  const csiDriver = parse(text.replace('3600', String(tokenSeconds))) as object
  await node.api('POST', '/apis/storage.k8s.io/v1/csidrivers', csiDriver)
  const driver = new NodeDriver(node, caFile)
  driver.start()
  await waitForDriver(node)
  await node.api('POST', '/api/v1/namespaces', { metadata: { name: 'shop' } })
  await node.waitUntil(
    'the service account of the pods',
    async () => (await node.request('GET', `${SHOP}/serviceaccounts/default`)).status === 200,
  )
  return { node, vault, driver }
}

/** Waits until the kubelet has registered the driver. */
async function waitForDriver(node: KubeNode): Promise<void> {
  await node.waitUntil('the driver to be known to the node', async () => {
    const { status, body } = await node.request('GET', '/apis/storage.k8s.io/v1/csinodes/node-1')
    return status === 200 && JSON.stringify(body.spec.drivers).includes(DRIVER)
  })
}
