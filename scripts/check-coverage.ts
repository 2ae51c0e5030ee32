// The gate of coverage, over all tests of `npm test` at once. Much of the program is also run by tests as the built
// bundle in processes of its own, which coverage does not see: this says what the tests in one process reach.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Least share of lines in percent, of the whole and of each file; wiring that only runs as a process is named. */
const LEAST_OF_ALL = 95
const LEAST_OF_FILE = 80
const RUN_AS_PROCESS_ONLY = [
  'src/commands/csi.ts',
  'src/commands/keep-node.ts',
  'src/commands/kms.ts',
  'src/commands/process-end.ts',
  'src/main.ts',
  // Their tests need a real cluster: npm run test:cluster.
  'src/cluster/outage-drill.ts',
  'src/commands/drill-backup.ts',
  'src/commands/drill-outage.ts',
  'src/commands/drill-restore.ts',
  'src/commands/operator-vault.ts',
  'src/commands/rotate.ts',
  'src/commands/stored-report.ts',
  'src/setup/key-admin.ts',
]

interface Summary {
  readonly lines: { readonly pct: number }
}

const root = join(import.meta.dirname, '..')
const report = JSON.parse(
  readFileSync(join(root, '.tap/report/coverage-summary.json'), 'utf8'),
) as Record<string, Summary>

const faults = Object.entries(report).flatMap(([file, { lines }]) => {
  if (file === 'total') {
    return lines.pct < LEAST_OF_ALL ? [`all files: ${lines.pct} % of ${LEAST_OF_ALL} %`] : []
  }
  const name = file.slice(root.length + 1)
  if (!name.startsWith('src/') || name.startsWith('src/gen/')) return []
  if (RUN_AS_PROCESS_ONLY.includes(name) || lines.pct >= LEAST_OF_FILE) return []
  return [`${name}: ${lines.pct} % of ${LEAST_OF_FILE} %`]
})
for (const fault of faults) process.stderr.write(`coverage of lines is too low: ${fault}\n`)
process.exitCode = faults.length === 0 ? 0 : 1
