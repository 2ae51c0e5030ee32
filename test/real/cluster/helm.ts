import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { obtain } from '../host/parts.ts'
import type { JsonBody } from '../program/json-body.ts'
import { runToEnd, type Outcome } from '../program/run-to-end.ts'
import { tempFolder } from '../host/temp-folder.ts'

export const CHART = join(import.meta.dirname, '..', '..', '..', 'helm', 'transit-bridge')

/** Runs a real helm in a separate environment. It never throws: check `code`. */
export async function helm(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<Outcome> {
  const binary = await obtain('helm')
  const home = tempFolder('helm')
  return runToEnd(binary, args, { env: { HOME: home, ...environment } })
}

/** What the chart makes of values: its objects, for a release transit-bridge in a namespace of that name. */
export async function renderChart(
  args: readonly string[],
  kubeVersion = '1.37',
): Promise<JsonBody[]> {
  const release = ['transit-bridge', CHART, '--namespace=transit-bridge']
  const outcome = await helm(['template', ...release, `--kube-version=${kubeVersion}`, ...args])
  if (outcome.code !== 0) throw new Error(outcome.stderr)
  return parseAllDocuments(outcome.stdout)
    .map((document) => document.toJS())
    .filter((object) => object !== null)
}
