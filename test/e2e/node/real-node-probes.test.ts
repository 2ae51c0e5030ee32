// The kubelet's probes of the plugin use its socket: an admin port that is taken or flooded does not get it killed.
import { test } from 'tap'
import { findSamples } from '../../real/cluster/prometheus-text.ts'
import { whyNoNode, type KubeNode } from '../../real/cluster/kube-node.ts'
import { cutAndComeBack, install, startNode, waitForDaemonSet } from './kms-node.ts'

const POD = 'transit-bridge-kms-node-1'
const TAKE_PORT = `require('node:net').createServer(() => undefined).listen(9390, '127.0.0.1')`
/** Holds every connection that the admin server accepts: each client repeats a request before its connection is idle. */
const GREEDY_CLIENTS = `
  const { connect } = require('node:net')
  const open = () => {
    const socket = connect(9390, '127.0.0.1').on('error', () => undefined).resume()
    const ask = () => socket.write('GET /livez HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n')
    const timer = setInterval(ask, 2_000)
    socket.on('connect', ask).on('close', () => {
      clearInterval(timer)
      setTimeout(open, 200)
    })
  }
  for (let count = 0; count < 160; count += 1) open()`
const READ_PROBES = `
  require('node:https').get('https://127.0.0.1:10250/metrics/probes', { rejectUnauthorized: false }, (answer) =>
    answer.pipe(process.stdout))`

/** How often the kubelet's probes of the plugin had a result. */
async function probes(node: KubeNode, labels: Record<string, string>): Promise<number> {
  const name = `probes-${String(performance.now())}`
  const program = node.run(name, process.execPath, ['-e', READ_PROBES])
  await program.finished()
  const samples = findSamples(program.output(), 'prober_probe_total', { pod: POD, ...labels })
  return samples.reduce((sum, { value }) => sum + value, 0)
}

async function containerOf(node: KubeNode): Promise<{ id: string; restarts: number }> {
  const { status } = await node.api('GET', `/api/v1/namespaces/kube-system/pods/${POD}`)
  const [{ containerID, restartCount, started }] = status.containerStatuses
  if (started !== true) throw new Error('not started yet')
  return { id: containerID, restarts: restartCount }
}

/** Waits until two more probes of the kubelet succeed, and returns the container that runs then. */
async function afterTwoProbes(node: KubeNode) {
  const labels = { probe_type: 'Liveness', result: 'successful' }
  const before = await probes(node, labels)
  await node.waitUntil(
    'two liveness probes',
    async () => (await probes(node, labels)) >= before + 2,
    {
      intervalMs: 2_000,
    },
  )
  return containerOf(node)
}

void test('the kubelet does not restart the plugin', { skip: whyNoNode() }, async (t) => {
  const node = await startNode(t)
  await install(node)
  await waitForDaemonSet(node, 'transit-bridge-kms-installer')

  await t.test('while other clients hold every connection of its admin port', async (t) => {
    const before = await afterTwoProbes(node)
    const clients = node.run('greedy-clients', process.execPath, ['-e', GREEDY_CLIENTS])
    t.same(await afterTwoProbes(node), before)
    await clients.kill()
  })

  await t.test('when another process had its admin port first', async (t) => {
    const back = cutAndComeBack(node)
    const taker = await new Promise<ReturnType<KubeNode['run']>>((resolve) => {
      const attempt = () => {
        try {
          resolve(node.run('taker', process.execPath, ['-e', TAKE_PORT]))
        } catch {
          setTimeout(attempt, 20)
        }
      }
      setTimeout(attempt, 1_000)
    })
    await back
    t.ok(taker.running)
    await node.waitUntil('the plugin', async () => (await containerOf(node)).id !== '')
    const first = await afterTwoProbes(node)
    t.same(await afterTwoProbes(node), first)
    t.equal(await probes(node, { probe_type: 'Liveness', result: 'failed' }), 0)
    await taker.kill()
  })
})
