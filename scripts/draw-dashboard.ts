// Draws docs/images/dashboard.png: the first row of the dashboard, rendered by Grafana's own components in a headless Chromium,
// with the data of a real Prometheus. It needs Linux, root, Debian's package `chromium`, and `npm ci` in tools/dashboard-picture.
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { build } from 'esbuild'
import { startWatchedStack } from '../test/e2e/chart/watched-stack.ts'
import { fillVariables, readDashboard, type Panel } from '../test/monitoring/dashboard.ts'
import type { Line, Prometheus } from '../test/real/cluster/prometheus.ts'
import { tempFolder } from '../test/real/host/temp-folder.ts'
import { KEY } from '../test/real/vault/kms-vault.ts'
import { rotateKey } from '../test/real/vault/transit-setup.ts'

const ROOT = join(import.meta.dirname, '..')
const PICTURE = join(ROOT, 'docs/images/dashboard.png')
const TOOL = join(ROOT, 'tools/dashboard-picture')
const WIDTH = 1500
const HEIGHT = 430
/** Their builds for Node.js resolve the default exports of old packages, on which esbuild and their other builds disagree. */
const CJS = Object.fromEntries(
  ['data/unstable', 'data', 'i18n', 'ui'].map((name) => {
    const [part = '', entry = 'index'] = name.split('/')
    return [`@grafana/${name}`, `./node_modules/@grafana/${part}/dist/cjs/${entry}.cjs`]
  }),
)
/** Until rates have enough samples. */
const WARM_UP_MS = 20_000
const HALF_MS = 60_000
const STEP_SECONDS = 3

/** The time range, in seconds since 1970. */
type Span = { start: number; end: number }

/** The panels of the first row, without its title. */
function firstRow(): Panel[] {
  const { panels } = readDashboard()
  const next = panels.findIndex(({ type }, index) => type === 'row' && index > 0)
  return panels.slice(1, next)
}

async function fill(prometheus: Prometheus, panel: Panel, span: Span) {
  const results = (panel.targets ?? []).map(async ({ expr, legendFormat }, index) => {
    const query = fillVariables(expr, '15s')
    const isLine = panel.type === 'timeseries'
    const lines: Line[] = isLine
      ? await prometheus.queryRange(query, { ...span, step: STEP_SECONDS })
      : (await prometheus.query(query)).map(({ labels, value }) => ({
          labels,
          points: [[span.end, value]],
        }))
    const named = lines.map((line) => ({ ...line, legend: legendOf(legendFormat, line.labels) }))
    return { refId: String.fromCodePoint(65 + index), lines: named }
  })
  return { panel, results: await Promise.all(results) }
}

function legendOf(form: string, labels: Record<string, string>): string {
  return form.replaceAll(/\{\{(\w+)\}\}/g, (_all, name: string) => labels[name] ?? '').trim()
}

/** A page with everything in it. */
async function writePage(data: object): Promise<string> {
  const { outputFiles } = await build({
    absWorkingDir: TOOL,
    entryPoints: ['render.tsx'],
    bundle: true,
    write: false,
    format: 'esm',
    jsx: 'automatic',
    alias: CJS,
    define: { 'process.env.NODE_ENV': '"production"' },
    loader: { '.svg': 'dataurl', '.woff2': 'dataurl', '.css': 'text' },
    logLevel: 'error',
  })
  const file = join(tempFolder('dashboard-picture'), 'page.html')
  const json = JSON.stringify(data).replaceAll('<', String.raw`\u003c`)
  const script = (outputFiles[0]?.text ?? '').replaceAll('</script', String.raw`<\/script`)
  writeFileSync(
    file,
    `<!doctype html><meta charset="utf-8"><body style="margin:0;background:#111217"><div id="picture"></div>
<script>globalThis.PICTURE = ${json}</script><script type="module">${script}</script>`,
  )
  return file
}

function takePicture(page: string): void {
  execFileSync(
    'chromium',
    [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--hide-scrollbars',
      `--window-size=${String(WIDTH)},${String(HEIGHT)}`,
      '--virtual-time-budget=20000',
      `--user-data-dir=${tempFolder('chromium')}`,
      `--screenshot=${PICTURE}`,
      `file://${page}`,
    ],
    { stdio: ['ignore', 'ignore', 'ignore'] },
  )
}

await using stack = new AsyncDisposableStack()
const teardown = (end: () => unknown) => stack.defer(async () => void (await end()))
const { kms, prometheus } = await startWatchedStack(
  { teardown, comment: (text) => void process.stderr.write(`${text}\n`) },
  { between: 250, plugins: 3 },
)
await pause(WARM_UP_MS)
const start = Date.now() / 1000
await pause(HALF_MS)
await rotateKey(kms.vault.bao, KEY)
await pause(HALF_MS)
const span = { start, end: Date.now() / 1000 }
const panels = await Promise.all(firstRow().map((panel) => fill(prometheus, panel, span)))
mkdirSync(join(ROOT, 'docs/images'), { recursive: true })
takePicture(await writePage({ panels, ...span, width: WIDTH }))
