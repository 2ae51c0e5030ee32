import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import { CHART, renderChart } from '../../real/cluster/helm.ts'
import type { JsonBody } from '../../real/program/json-body.ts'

/** Of the Prometheus operator; an API server without it does not know them. */
const FOREIGN = 'monitoring.coreos.com/v1'
const PLURALS: Record<string, string> = { NetworkPolicy: 'networkpolicies' }

export type DryRun = { what: string; status: number; why: string }

/** The collection that an object is created in. */
export function pathOf({ apiVersion, kind, metadata }: JsonBody): string {
  const group = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`
  const plural = PLURALS[kind] ?? `${String(kind).toLowerCase()}s`
  return `${group}/namespaces/${metadata.namespace}/${plural}`
}

/** Sends every object that the chart renders with each of its example values to the API server, as a server-side dry run. */
export async function dryRunChart(api: KubeApiServer, kubeVersion?: string): Promise<DryRun[]> {
  const results: DryRun[] = []
  for (const name of readdirSync(join(CHART, 'ci'))) {
    const objects = await renderChart([`--values=${join(CHART, 'ci', name)}`], kubeVersion)
    if (objects.length === 0) throw new Error(`the chart renders nothing with ${name}`)
    for (const object of objects.filter(({ apiVersion }) => apiVersion !== FOREIGN)) {
      const query = '?dryRun=All&fieldValidation=Strict'
      const { status, body } = await api.request('POST', `${pathOf(object)}${query}`, object)
      const what = `${name}: ${object.kind} ${object.metadata.name}`
      results.push({ what, status, why: body.message ?? 'ok' })
    }
  }
  return results
}
