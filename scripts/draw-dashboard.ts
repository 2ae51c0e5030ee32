// Draws docs/images/dashboard.svg from the dashboard's JSON and the data of a real Prometheus during a short load test with
// one key rotation. It has the requirements of test/e2e/chart/monitoring-panels.test.ts: Linux and root.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { startWatchedStack } from '../test/e2e/chart/watched-stack.ts'
import { fillVariables, readDashboard } from '../test/monitoring/dashboard.ts'
import { KEY } from '../test/real/vault/kms-vault.ts'
import type { Prometheus } from '../test/real/cluster/prometheus.ts'
import { rotateKey } from '../test/real/vault/transit-setup.ts'
import { drawDashboard, type Filled, type Span } from './dashboard-picture.ts'

const FOLDER = join(import.meta.dirname, '../docs/images')
const CAPTION =
  "rendered from the dashboard's JSON and a Prometheus that scraped a plugin, a provider and an API server"
/** Until rates have enough samples. */
const WARM_UP_MS = 20_000
const HALF_MS = 75_000
const STEP_S = 3
const WEEK_S = 7 * 86_400

async function fill(prometheus: Prometheus, span: Span): Promise<Filled[]> {
  const ask = (expr: string) =>
    prometheus.queryRange(fillVariables(expr, '15s'), { ...span, step: STEP_S })
  return Promise.all(
    readDashboard().panels.map(async (panel) => {
      const found = await Promise.all(
        (panel.targets ?? []).map(async ({ expr, legendFormat }) =>
          (await ask(expr)).map((line) => ({ line, legend: legendOf(legendFormat, line.labels) })),
        ),
      )
      return { panel, lines: found.flat() }
    }),
  )
}

/** Renders a legend like Grafana; hashes are shortened. */
function legendOf(form: string, labels: Record<string, string>): string {
  const legend = form.replaceAll(/\{\{(\w+)\}\}/g, (_all, name: string) => labels[name] ?? '')
  return legend.trim().replaceAll(/[\w:]{24,}/g, (long) => `${long.slice(0, 14)}…`)
}

await using stack = new AsyncDisposableStack()
const teardown = (end: () => unknown) => stack.defer(async () => void (await end()))
const { kms, prometheus } = await startWatchedStack(
  { teardown },
  { between: 250, tokenLife: WEEK_S },
)
await pause(WARM_UP_MS)
const start = Date.now() / 1000
await pause(HALF_MS)
await rotateKey(kms.vault.bao, KEY)
await pause(HALF_MS)
const filled = await fill(prometheus, { start, end: Date.now() / 1000 })
mkdirSync(FOLDER, { recursive: true })
const svg = drawDashboard(filled, { start, end: Date.now() / 1000 }, CAPTION)
writeFileSync(join(FOLDER, 'dashboard.svg'), svg)
