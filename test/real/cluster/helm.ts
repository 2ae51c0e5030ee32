import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { obtain } from '../host/parts.ts'
import type { JsonBody } from '../program/json-body.ts'
import { tempFolder } from '../host/temp-folder.ts'

export const CHART = join(import.meta.dirname, '..', '..', '..', 'helm', 'transit-bridge')

export type HelmOutcome = { code: number | null; stdout: string; stderr: string }

/** Runs a real helm, in an environment of its own. It never fails by itself: look at `code`. */
export async function helm(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<HelmOutcome> {
  const binary = await obtain('helm')
  const home = tempFolder('helm')
  const { promise, resolve, reject } = Promise.withResolvers<HelmOutcome>()
  const child = spawn(binary, args, {
    env: { PATH: process.env['PATH'], HOME: home, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  child.on('error', reject)
  child.on('close', (code) => resolve({ code, ...output }))
  return promise
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
