import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { obtain } from '../../real/host/parts.ts'

/** What Prometheus's linter says about a text of metrics; empty if it is clean. */
export async function lintMetrics(metrics: string): Promise<string> {
  const linter = spawn(await obtain('promtool'), ['check', 'metrics'])
  linter.stdin.end(metrics)
  const [output, problems, [code]] = await Promise.all([
    text(linter.stdout),
    text(linter.stderr),
    once(linter, 'close'),
  ])
  return `${output}${problems}${code === 0 ? '' : `exit code ${String(code)}`}`
}
