// The chart's objects in a real kube-apiserver, and the removal of installers with the permissions that the chart grants.
import { mkdirSync, writeFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { systemClock } from '../../../src/time/clock.ts'
import { KubeClient } from '../../../src/kube/client.ts'
import { requirePodAccess } from '../../../src/kube/in-cluster.ts'
import { retireInstallers } from '../../../src/node/install/retirement.ts'
import { installOnNode } from '../../../src/node/install/node-install.ts'
import { CHART, renderChart } from '../../real/cluster/helm.ts'
import type { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { makeNode } from '../../node/node-folders.ts'
import { startApiServer, startEtcd } from '../cluster.ts'
import { dryRunChart, installMonitoringResources, pathOf } from './dry-run.ts'

const NAMESPACE = 'transit-bridge'

async function startServer(t: Parameters<typeof startEtcd>[0]): Promise<KubeApiServer> {
  const api = await startApiServer(t, { etcd: await startEtcd(t) })
  for (const name of [NAMESPACE, 'monitoring']) await api.createServiceAccount(name, 'default')
  return api
}

void test('every object is valid, to the last field', async (t) => {
  const api = await startServer(t)
  await installMonitoringResources(api)
  for (const { what, status, why } of await dryRunChart(api))
    t.equal(status, 201, `${what}: ${why}`)
})

void test('the static pod that the installer writes is a valid one', async (t) => {
  const api = await startServer(t)
  const { options, read, writeToken } = await makeNode(t)
  await writeToken()
  await installOnNode(options)
  const pod = parse(read('/manifests/transit-bridge-kms.yaml'))
  await api.createServiceAccount('kube-system', 'default')
  const query = '?dryRun=All&fieldValidation=Strict'
  const { status, body } = await api.request('POST', `${pathOf(pod)}${query}`, pod)
  t.equal(status, 201, String(body.message ?? 'ok'))
})

void test('removal: the hook may turn installers into removers, and waits for all nodes', async (t) => {
  const api = await startServer(t)
  const objects = await renderChart([`--values=${join(CHART, 'ci/everything-values.yaml')}`])
  const needed = objects.filter(
    ({ kind, metadata }) =>
      ['ServiceAccount', 'Role', 'RoleBinding'].includes(kind) ||
      metadata.name === 'transit-bridge-kms-installer',
  )
  for (const object of needed.filter(({ kind }) => kind !== 'NetworkPolicy'))
    await api.api('POST', pathOf(object), object)
  const installers = `/apis/apps/v1/namespaces/${NAMESPACE}/daemonsets/transit-bridge-kms-installer`
  // No controller runs here: this test counts the nodes.
  const setStatus = async (status: object) => {
    await api.api('PATCH', `${installers}/status`, { status })
  }
  const counts = { currentNumberScheduled: 2, numberMisscheduled: 0, desiredNumberScheduled: 2 }
  await setStatus({ ...counts, numberReady: 2, numberAvailable: 2, observedGeneration: 1 })

  const folder = tempFolder('serviceaccount')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'ca.crt'), readFileSync(api.caFile))
  const token = await api.serviceAccountToken(NAMESPACE, 'transit-bridge-kms-removal')
  writeFileSync(join(folder, 'token'), token)
  const { port } = new URL(api.address)
  const environment = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: port }
  const inCluster = new KubeClient(requirePodAccess(environment, folder), systemClock)
  t.teardown(() => inCluster.close())
  let finished = false
  const retired = retireInstallers({
    api: inCluster,
    namespace: NAMESPACE,
    name: 'transit-bridge-kms-installer',
    timeoutMs: 60_000,
    clock: systemClock,
  }).then((nodes) => {
    finished = true
    return nodes
  })
  await api.waitUntil('the installers to be told', async () => {
    const { spec } = await api.api('GET', installers)
    const [{ args }] = spec.template.spec.containers
    return args.at(-1) === '--remove' && spec.updateStrategy.rollingUpdate.maxUnavailable === '100%'
  })
  const { metadata } = await api.api('GET', installers)
  const half = { updatedNumberScheduled: 2, numberReady: 1, numberAvailable: 1 }
  await setStatus({ ...counts, ...half, observedGeneration: metadata.generation })
  t.equal(finished, false, 'one node still has it')
  await setStatus({ ...counts, updatedNumberScheduled: 2, numberReady: 2, numberAvailable: 2 })
  t.equal(await retired, 2)

  const other = { method: 'GET', path: installers.replace('kms-installer', 'csi') } as const
  t.equal((await inCluster.send(other)).status, 403, 'and nothing else')
})
