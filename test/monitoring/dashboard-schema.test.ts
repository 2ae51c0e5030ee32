// The dashboard against the types of @grafana/schema, which Grafana generates from the schema of its dashboards. A JSON
// import would widen its texts, so the compiler gets the JSON as a literal of TypeScript.
import { spawnSync } from 'node:child_process'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { defaultDashboard } from '@grafana/schema'
import { test } from 'tap'
import { tempFolder } from '../real/host/temp-folder.ts'
import { readDashboard } from './dashboard.ts'

const MODULES = join(import.meta.dirname, '../../node_modules')
const CONFIGURATION = {
  module: 'nodenext',
  target: 'es2024',
  strict: true,
  skipLibCheck: true,
  noEmit: true,
  types: [],
}
const PANEL_TYPES = { stat: 'Stat', timeseries: 'TimeSeries', table: 'Table' } as const

/** What the compiler says about a dashboard; empty if its types are right. */
function check(dashboard: object): string {
  const folder = tempFolder('dashboard-schema')
  symlinkSync(MODULES, join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: CONFIGURATION }))
  const imports = Object.entries(PANEL_TYPES).map(
    ([type, name]) =>
      `import type * as ${type} from '@grafana/schema/dist/esm/raw/composable/${type}/panelcfg/x/${name}PanelCfg_types.gen'`,
  )
  writeFileSync(
    join(folder, 'dashboard.ts'),
    `import type { AnnotationQuery, Dashboard, FieldConfig, Panel as AnyPanel, RowPanel, TableFieldOptions } from '@grafana/schema'
${imports.join('\n')}
/** JSON has the values of enums, not their names. */
type Plain<T> = T extends string ? \`\${T}\` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T
type Of<Type, Options, Custom> = Omit<AnyPanel, 'type' | 'options' | 'fieldConfig'> & {
  type: Type
  options: Partial<Options>
  fieldConfig: { defaults: Omit<FieldConfig, 'custom'> & { custom?: Partial<Custom> }; overrides: object[] }
}
type Panel =
  | RowPanel
  | Of<'stat', stat.Options, {}>
  | Of<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | Of<'table', table.Options, TableFieldOptions>
/** A target has the fields of its data source. */
type Annotation = Omit<AnnotationQuery, 'target'> & { target?: { refId: string; expr: string; interval: string }; titleFormat?: string }
type Annotations = { annotations: { list: Annotation[] } }
export const dashboard: Plain<Annotations & Omit<Dashboard, 'panels' | 'annotations'> & { panels: Panel[] }> = ${JSON.stringify(dashboard, null, 2)}
`,
  )
  // The test runner adds a loader to every child process, with which the compiler cannot start.
  const command = 'unset NODE_OPTIONS; exec "$0" -p "$1"'
  const args = ['-c', command, join(MODULES, '.bin/tsc'), folder]
  const { stdout, stderr, status } = spawnSync('sh', args, { encoding: 'utf8' })
  if (status !== 0 && !stdout.includes('error TS')) throw new Error(`tsc: ${stderr}`)
  return stdout
}

void test("the dashboard has Grafana's types, and its current schema version", (t) => {
  const dashboard = readDashboard()
  t.equal(check(dashboard), '')
  t.match(dashboard, { schemaVersion: defaultDashboard.schemaVersion })
  t.end()
})

void test('a wrong option and a wrong unit of a panel are found', (t) => {
  const [row, first, ...others] = readDashboard().panels
  const wrong = { ...first, options: { colorMode: 'loud' }, fieldConfig: { defaults: { unit: 1 } } }
  t.match(check({ ...readDashboard(), panels: [row, wrong, ...others] }), /error TS/)
  t.end()
})
