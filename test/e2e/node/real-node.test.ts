// A whole control-plane node: helm install, ciphertext in etcd, and power cuts after which it recovers automatically.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { whyNoNode } from '../../real/cluster/kube-node.ts'
import {
  cutAndComeBack,
  install,
  runHelm,
  SECRETS,
  startNode,
  stored,
  VALUE,
  waitForDaemonSet,
  writeEncryption,
  writeSecret,
} from './kms-node.ts'

const MANIFEST = 'disk/etc/kubernetes/manifests/transit-bridge-kms.yaml'

void test(
  'static pod: a cluster that recovers without an operator',
  { skip: whyNoNode() },
  async (t) => {
    const node = await startNode(t)

    await t.test('helm install puts the plugin on the node, and helm test proves it', async (t) => {
      await install(node)
      await waitForDaemonSet(node, 'transit-bridge-kms-installer')
      t.ok(existsSync(join(node.folder, MANIFEST)))
      t.match(await runHelm(node, 'test', 'transit-bridge', '--logs'), /kms\.sock: ok, key id tb1-/)
    })

    await t.test('Secrets are ciphertext in etcd from then on', async (t) => {
      await writeSecret(node, 'before')
      writeEncryption(node)
      t.comment(`ready ${(await cutAndComeBack(node)).toFixed(1)} s after the power came back`)
      await writeSecret(node, 'after')
      t.match(await stored(node, 'secrets/default/before'), /^k8s\0[^]*correct horse/)
      const bytes = await stored(node, 'secrets/default/after')
      t.match(bytes, /^k8s:enc:kms:v2:transit-bridge:/)
      t.notMatch(bytes, /correct horse/)
    })

    await t.test('after a power cut the API server reads them without any help', async (t) => {
      for (let count = 0; count < 2; count += 1) {
        t.comment(`ready ${(await cutAndComeBack(node)).toFixed(1)} s after the power came back`)
        t.equal((await node.api('GET', `${SECRETS}/after`)).data.password, VALUE)
      }
    })

    await t.test('helm uninstall leaves the plugin where an API server needs it', async (t) => {
      await waitForDaemonSet(node, 'transit-bridge-kms-installer')
      await runHelm(node, 'uninstall', 'transit-bridge', '--wait')
      t.ok(existsSync(join(node.folder, MANIFEST)))
      await cutAndComeBack(node)
      t.equal((await node.api('GET', `${SECRETS}/after`)).data.password, VALUE)
    })

    await t.test('with kms.removeOnUninstall it removes the plugin', async (t) => {
      await install(node, 'kms.removeOnUninstall=true')
      await waitForDaemonSet(node, 'transit-bridge-kms-installer')
      await runHelm(node, 'uninstall', 'transit-bridge', '--wait')
      for (const path of [MANIFEST, 'disk/etc/transit-bridge/token'])
        t.notOk(existsSync(join(node.folder, path)), path)
    })
  },
)
