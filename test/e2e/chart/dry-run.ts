import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { moduleFolder } from '../../real/host/parts.ts'
import type { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import { CHART, renderChart } from '../../real/cluster/helm.ts'
import type { JsonBody } from '../../real/program/json-body.ts'

/** The Prometheus operator's: installMonitoringResources adds them to an API server. */
const FOREIGN = 'monitoring.coreos.com/v1'
const PLURALS: Record<string, string> = { NetworkPolicy: 'networkpolicies' }

/** The kinds of the Prometheus operator that the chart uses. */
const MONITORING = ['podmonitors', 'servicemonitors', 'prometheusrules']

export type DryRun = { what: string; status: number; why: string }

/** The collection that an object is created in. */
export function pathOf({ apiVersion, kind, metadata }: JsonBody): string {
  const group = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`
  const plural = PLURALS[kind] ?? `${String(kind).toLowerCase()}s`
  return metadata.namespace === undefined
    ? `${group}/${plural}`
    : `${group}/namespaces/${metadata.namespace}/${plural}`
}

/** Installs the Prometheus operator's custom resources, and waits until they are served. */
export async function installMonitoringResources(api: KubeApiServer): Promise<void> {
  const folder = join(await moduleFolder('prometheus-operator'), 'example/prometheus-operator-crd')
  const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
  for (const kind of MONITORING) {
    const text = readFileSync(join(folder, `monitoring.coreos.com_${kind}.yaml`), 'utf8')
    await api.api('POST', definitions, parse(text))
  }
  for (const kind of MONITORING) {
    await api.waitUntil(`custom resource ${kind}`, async () => {
      const { status } = await api.request('GET', `/apis/${FOREIGN}/${kind}`)
      return status === 200
    })
  }
}

/** Sends an object as a server-side dry run that refuses unknown and duplicate fields. */
export async function dryRun(api: KubeApiServer, object: JsonBody): Promise<DryRun> {
  const query = '?dryRun=All&fieldValidation=Strict'
  const { status, body } = await api.request('POST', `${pathOf(object)}${query}`, object)
  return { what: `${object.kind} ${object.metadata.name}`, status, why: body.message ?? 'ok' }
}

/** Sends every object that the chart renders with each of its example values. An older API server has no custom resources. */
export async function dryRunChart(api: KubeApiServer, kubeVersion?: string): Promise<DryRun[]> {
  const results: DryRun[] = []
  for (const name of readdirSync(join(CHART, 'ci'))) {
    const objects = await renderChart([`--values=${join(CHART, 'ci', name)}`], kubeVersion)
    if (objects.length === 0) throw new Error(`the chart renders nothing with ${name}`)
    const isKnown = ({ apiVersion }: JsonBody) =>
      kubeVersion === undefined || apiVersion !== FOREIGN
    for (const object of objects.filter(isKnown)) {
      const outcome = await dryRun(api, object)
      results.push({ ...outcome, what: `${name}: ${outcome.what}` })
    }
  }
  return results
}
