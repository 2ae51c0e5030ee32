// Each value that adds something to pods and objects of the chart: its effect, and a real kube-apiserver with the Prometheus
// operator's custom resources that accepts the result.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse, stringify } from 'yaml'
import { parseConfig } from '../../../src/config/load.ts'
import { nodeFilesFor } from '../../../src/node/files/node-files.ts'
import { parsePodPatch } from '../../../src/node/install/pod-patch.ts'
import { renderManifest } from '../../../src/node/install/static-pod-manifest.ts'
import { CHART, renderChart } from '../../real/cluster/helm.ts'
import type { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import { askLoaders } from '../../real/cluster/kubernetes-loaders.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import type { JsonBody } from '../../real/program/json-body.ts'
import { startApiServer, startEtcd } from '../cluster.ts'
import { dryRun, installMonitoringResources } from './dry-run.ts'
import { OBJECT_ROWS, PART_ROWS, type PartRow } from './value-rows.ts'

/** The arguments with which helm takes these values over those that the chart needs. */
function withValues(values: unknown): string[] {
  const file = join(tempFolder('values'), 'values.yaml')
  writeFileSync(file, stringify(values))
  const base = join(CHART, 'ci/csi-only-values.yaml')
  return [`--values=${base}`, '--set=kms.clusterId=prod', `--values=${file}`]
}

/** The pod that the installer would write for the rendered chart. */
function staticPodOf(objects: readonly JsonBody[]): JsonBody {
  const { data } = find(objects, 'ConfigMap transit-bridge-kms')
  const { args } = find(objects, 'DaemonSet transit-bridge-kms-installer').spec.template.spec
    .containers[0]
  const text = String(data['config.yaml'])
  const { config } = parseConfig('config.yaml', text, {})
  const patch = data['pod.yaml'] === undefined ? undefined : parsePodPatch(data['pod.yaml'])
  const selinuxType = args.find((each: string) => each.startsWith('--selinux-type='))?.split('=')[1]
  const host = { configFile: '/etc/c.yaml', image: 'image', program: '', selinuxType }
  return parse(renderManifest(nodeFilesFor(config, host), text, patch))
}

function find(objects: readonly JsonBody[], what: string): JsonBody {
  const found = objects.find(({ kind, metadata }) => `${kind} ${metadata.name}` === what)
  if (found === undefined) throw new Error(`the chart renders no ${what}`)
  return found
}

function valueAt(object: JsonBody, path: string): unknown {
  const names = path.replace(/^container\b/, 'spec.containers.0').split('.')
  return names.reduce<JsonBody>((inner, name) => inner?.[name], object)
}

/** Lists can have further entries before those that are expected. */
function shorten(found: unknown, expected: unknown): unknown {
  return Array.isArray(found) && Array.isArray(expected) ? found.slice(-expected.length) : found
}

async function startServer(t: Parameters<typeof startEtcd>[0]): Promise<KubeApiServer> {
  const api = await startApiServer(t, { etcd: await startEtcd(t) })
  for (const name of ['transit-bridge', 'kube-system'])
    await api.createServiceAccount(name, 'default')
  await installMonitoringResources(api)
  return api
}

const WAYS = [
  { part: 'csi', kms: { mode: 'none' }, name: 'DaemonSet transit-bridge-csi' },
  { part: 'kms', kms: { mode: 'daemonSet' }, name: 'DaemonSet transit-bridge-kms' },
  { part: 'kms', kms: { mode: 'staticPod' }, name: 'DaemonSet transit-bridge-kms-installer' },
]

/** The pod in which a value has its effect. */
function podWith(row: PartRow, objects: readonly JsonBody[], name: string): JsonBody {
  const isOfNode = name.endsWith('-installer') && row.ofDaemonSet !== true
  return isOfNode ? staticPodOf(objects) : find(objects, name).spec.template
}

void test('values have their effect, and a kube-apiserver accepts the result', async (t) => {
  const api = await startServer(t)
  const accept = async (object: JsonBody, where: string) => {
    const { what, status, why } = await dryRun(api, object)
    t.equal(status, 201, `${where}: ${what}: ${why}`)
  }
  for (const { part, kms, name } of WAYS) {
    const rows = Object.fromEntries(PART_ROWS.map(({ value, set }) => [value, set]))
    const own = part === 'kms' ? { kms: { ...kms, ...rows } } : { kms, csi: rows }
    const objects = await renderChart(withValues(own))
    for (const row of PART_ROWS) {
      const found = valueAt(podWith(row, objects, name), row.at)
      t.match(shorten(found, row.is), row.is, `${part}.${row.value} in ${name}`)
    }
    for (const object of objects) await accept(object, name)
    if (!name.endsWith('-installer')) continue
    const pod = staticPodOf(objects)
    await accept(pod, 'static pod')
    // The kubelet permits privileged pods when it starts (cmd/kubelet/app/server.go); its reader alone does not.
    delete pod['spec'].containers[0].securityContext.privileged
    const question = { kind: 'manifest', text: stringify(pod) } as const
    t.match(
      await askLoaders(tempFolder('pods'), [question]),
      [{ accepted: true }],
      'by the kubelet',
    )
  }
  for (const { values, object: name, at, is } of OBJECT_ROWS) {
    const set = { ...values, kms: { mode: 'staticPod', ...values['kms'] } }
    const object = find(await renderChart(withValues(set)), name)
    t.match(shorten(valueAt(object, at), is), is, JSON.stringify(values))
    await accept(object, JSON.stringify(values))
  }
})
