// The plugin as an ordinary DaemonSet on a real node: from which power cuts it recovers, and from which it does not.
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { whyNoNode } from '../../real/cluster/kube-node.ts'
import type { KubeNode } from '../../real/cluster/kube-node.ts'
import {
  cutAndComeBack,
  install,
  NAMESPACE,
  SECRETS,
  startNode,
  stored,
  VALUE,
  waitForDaemonSet,
  writeEncryption,
  writeSecret,
} from './kms-node.ts'

const PLUGIN = 'transit-bridge-kms'
const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`
const CIPHERTEXT = /^k8s:enc:kms:v2:transit-bridge:/
/** About four times what the same node needs with Secrets alone encrypted. */
const LIMIT_MS = 40_000

/** The status and text that the API server returns; 0 without an answer. */
async function ask(node: KubeNode, path: string): Promise<{ status: number; text: string }> {
  try {
    const { status, body } = await node.request('GET', path)
    return { status, text: typeof body === 'string' ? body : JSON.stringify(body) }
  } catch (error) {
    return { status: 0, text: String(error) }
  }
}

/** The containers that run on the node, those that hold the pods included. */
async function runningContainers(node: KubeNode, name: string): Promise<string[]> {
  const list = ['-a', '/run/containerd/containerd.sock', '-n', 'k8s.io', 'tasks', 'list', '-q']
  const program = node.run(name, 'ctr', list)
  await program.finished()
  return program.output().split('\n').filter(Boolean)
}

void test('daemonSet: a cluster within its limits recovers', { skip: whyNoNode() }, async (t) => {
  const node = await startNode(t)

  await t.test('helm install runs the plugin as a DaemonSet', async (t) => {
    await install(node, 'kms.mode=daemonSet')
    await waitForDaemonSet(node, PLUGIN)
    const { items } = await node.api('GET', PODS)
    t.equal(items.length, 1)
    t.equal(items[0].metadata.ownerReferences[0].kind, 'DaemonSet')
  })

  await t.test('with Secrets alone encrypted they are ciphertext in etcd', async (t) => {
    writeEncryption(node, ['secrets'])
    t.comment(`ready ${(await cutAndComeBack(node)).toFixed(1)} s after the power came back`)
    await writeSecret(node, 'after')
    const bytes = await stored(node, 'secrets/default/after')
    t.match(bytes, CIPHERTEXT)
    t.notMatch(bytes, /correct horse/)
  })

  await t.test('after a power cut the API server reads them without any help', async (t) => {
    t.comment(`ready ${(await cutAndComeBack(node)).toFixed(1)} s after the power came back`)
    t.equal((await node.api('GET', `${SECRETS}/after`)).data.password, VALUE)
  })

  await t.test('with *.* encrypted the pod of the plugin is ciphertext, too', async (t) => {
    writeEncryption(node, ['*.*'])
    // It recovers again: everything that its pod needs was stored before.
    await cutAndComeBack(node)
    await waitForDaemonSet(node, PLUGIN)
    const { items } = await node.api('GET', PODS)
    const pod = String(items[0].metadata.name)
    const again = { metadata: { annotations: { written: 'again' } } }
    await node.api('PATCH', `${PODS}/${pod}`, again)
    await node.api('PATCH', `/api/v1/namespaces/${NAMESPACE}/configmaps/${PLUGIN}`, again)
    for (const place of [`pods/${NAMESPACE}/${pod}`, `configmaps/${NAMESPACE}/${PLUGIN}`])
      t.match(await stored(node, place), CIPHERTEXT, place)
  })

  // The kubelet itself knows only static pods; it asks the API server for the others. The plugin's pod cannot be read
  // without the plugin, so the kubelet never receives it. Each waits forever for the other: the test shows that nothing
  // changes.
  await t.test('after a power cut the API server is not ready and no pod runs', async (t) => {
    await node.cutPower()
    node.powerOn()
    const start = performance.now()
    const seen = { ready: 0, running: 0, polls: 0 }
    let reason = { status: 0, text: '' }
    let list = { status: 0, text: '' }
    while (performance.now() - start < LIMIT_MS) {
      seen.polls += 1
      if ((await ask(node, '/readyz')).status === 200) seen.ready += 1
      reason = await ask(node, '/readyz/kms-providers')
      list = await ask(node, PODS)
      await sleep(1000)
      if (performance.now() - start > 5000)
        seen.running += (await runningContainers(node, `tasks-${String(seen.polls)}`)).length
    }
    t.comment(`${String(seen.polls)} polls`)
    t.match(seen, { ready: 0, running: 0 })
    t.ok(seen.polls >= 5)
    t.equal(reason.status, 500)
    t.match(reason.text, /kms-provider-0: .*kms\.sock: connect: no such file or directory/)
    t.not(list.status, 200)
    t.match(list.text, /failed to read one or more pods/)
  })
})
