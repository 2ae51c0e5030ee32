// A pod with a CSI volume on a real node: the kubelet, the real Secrets Store CSI driver, and the provider of the chart.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import type { Test } from 'tap'
import { stringify } from 'yaml'
import { buildProgram } from '../../commands/program.ts'
import { CsiDriver } from '../../real/cluster/csi-driver.ts'
import { CsiVault } from '../../real/vault/csi-vault.ts'
import { CHART } from '../../real/cluster/helm.ts'
import { KubeNode, whyNoNode } from '../../real/cluster/kube-node.ts'
import { writeClass } from '../../real/cluster/kube-objects.ts'
import { buildImageArchive, IMAGE } from '../../real/cluster/node-image.ts'
import { obtain } from '../../real/host/parts.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { makeKey } from '../../real/vault/transit-setup.ts'
import { ADDRESS, forwardVault, startDriver } from './csi-node.ts'

const NAMESPACE = 'transit-bridge'
const SHOP = '/api/v1/namespaces/shop'
const RULE = {
  namespaces: ['shop'],
  serviceAccounts: ['*'],
  roles: ['web'],
  keys: ['app-*'],
  types: ['publicKey', 'decrypt'],
}

async function startVault(
  t: Test,
  node: KubeNode,
  authority: CertificateAuthority,
): Promise<CsiVault> {
  const vault = await CsiVault.start(node.signer, {
    tls: await authority.server('vault', { names: [ADDRESS] }),
  })
  t.teardown(() => vault.stop())
  await vault.writeRole({ role: 'web', subjects: ['system:serviceaccount:shop:*'] })
  await makeKey(vault.bao, 'app-data')
  await forwardVault(t, node, vault.bao.port)
  return vault
}

async function install(node: KubeNode, caPem: string): Promise<void> {
  const values = join(node.folder, 'values.yaml')
  writeFileSync(
    values,
    stringify({
      image: { ...IMAGE, pullPolicy: 'Never' },
      vault: { address: `https://${ADDRESS}:8200`, caBundle: caPem },
      kms: { mode: 'none' },
      csi: { enabled: true, rules: [RULE] },
    }),
  )
  const release = ['install', 'transit-bridge', CHART, '--create-namespace', `--values=${values}`]
  await node.run('helm', await obtain('helm'), [...release, `--namespace=${NAMESPACE}`]).finished()
  const path = `/apis/apps/v1/namespaces/${NAMESPACE}/daemonsets/transit-bridge-csi`
  await node.waitUntil(
    'the provider to be ready',
    async () => (await node.api('GET', path)).status.numberReady === 1,
    { timeoutMs: 30_000 },
  )
}

/** A pod that logs the content of its volume before it ends. */
function podThatReads(): object {
  const script = `
    const fs = require('node:fs')
    fs.writeFileSync('/dev/termination-log', fs.readFileSync('/keys/password'))`
  const csi = {
    driver: CsiDriver.driverName,
    readOnly: true,
    volumeAttributes: { secretProviderClass: 'web' },
  }
  return {
    metadata: { name: 'web-0' },
    spec: {
      restartPolicy: 'Never',
      containers: [
        {
          name: 'web',
          image: `${IMAGE.repository}:${IMAGE.tag}`,
          imagePullPolicy: 'Never',
          command: ['/usr/bin/node', '-e', script],
          volumeMounts: [{ name: 'keys', mountPath: '/keys', readOnly: true }],
        },
      ],
      volumes: [{ name: 'keys', csi }],
    },
  }
}

void test(
  'a pod gets its files from the provider of the chart',
  { skip: whyNoNode() },
  async (t) => {
    buildProgram()
    const node = await KubeNode.start(await buildImageArchive())
    t.teardown(() => node.stop())
    const authority = await CertificateAuthority.create()
    const vault = await startVault(t, node, authority)
    await startDriver(node)
    await install(node, authority.caPem)
    await node.api('POST', '/api/v1/namespaces', { metadata: { name: 'shop' } })
    const ciphertext = await vault.encrypt('app-data', 'a password')
    const objects = stringify([{ path: 'password', type: 'decrypt', key: 'app-data', ciphertext }])
    await writeClass(node, { namespace: 'shop', name: 'web', parameters: { role: 'web', objects } })
    await node.waitUntil(
      'the service account of the pod',
      async () => (await node.request('GET', `${SHOP}/serviceaccounts/default`)).status === 200,
    )
    await node.api('POST', `${SHOP}/pods`, podThatReads())
    try {
      await node.waitUntil(
        'the pod to end',
        async () => {
          const { status } = await node.api('GET', `${SHOP}/pods/web-0`)
          const message = status.containerStatuses?.[0]?.state?.terminated?.message
          return message === 'a password'
        },
        { timeoutMs: 40_000 },
      )
    } catch (error) {
      const events = await node.api('GET', `${SHOP}/events`)
      t.comment(JSON.stringify(events.items.map((e: { message: string }) => e.message)))
      throw error
    }
    t.pass('the file holds what Vault decrypted, under the identity of the pod')
  },
)
