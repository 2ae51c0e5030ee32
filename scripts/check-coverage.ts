// Checks the coverage of all tests of `npm test` together. Many tests run the built program in a separate process, which
// coverage does not see: the figures are for what tests reach in their own process.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Minimum share of covered lines in percent: of all files together, and of each file. */
const LEAST_OF_ALL = 95
const LEAST_OF_FILE = 70

/** Files that are not checked: their tests run the built program, or need more than `npm test` requires. */
const TESTED_ELSEWHERE = new Set([
  // The built program: test/behavior, test/csi/serve.test.ts, test/commands/transcripts.test.ts.
  'src/commands/cli/admin.ts',
  'src/commands/config/check.ts',
  'src/commands/config/schema.ts',
  'src/commands/csi/check.ts',
  'src/commands/completion/bash.ts',
  'src/commands/completion/completion.ts',
  'src/commands/completion/completion-words.ts',
  'src/commands/completion/fish.ts',
  'src/commands/completion/zsh.ts',
  'src/commands/csi.ts',
  'src/commands/node/keep-node.ts',
  'src/commands/forward.ts',
  'src/commands/kms.ts',
  'src/commands/cli/process/shutdown.ts',
  'src/csi/admin-sources.ts',
  'src/grpc/liveness.ts',
  'src/csi/refused-streams.ts',
  'src/kms/plugin.ts',
  'src/main.ts',
  'src/start/csi.ts',
  'src/start/kms.ts',
  'src/start/program.ts',
  // A real etcd and its snapshots: test/e2e/verify.
  'src/commands/cli/sealed-access.ts',
  'src/etcd/snapshot/bolt-file.ts',
  'src/etcd/snapshot/bolt-page.ts',
  'src/etcd/client.ts',
  'src/etcd/fault.ts',
  'src/etcd/unreachable.ts',
  'src/etcd/live-store.ts',
  'src/etcd/snapshot/checksum.ts',
  'src/etcd/snapshot/snapshot-store.ts',
  // A real cluster: test/e2e.
  'src/drill/outage-drill.ts',
  'src/commands/drill/backup.ts',
  'src/commands/drill/outage.ts',
  'src/commands/drill/restore.ts',
  'src/commands/escrow/check.ts',
  'src/commands/escrow/create.ts',
  'src/commands/escrow/open.ts',
  'src/commands/escrow/store-coverage.ts',
  'src/commands/cli/operator-vault.ts',
  'src/commands/rotate/rotate.ts',
  'src/commands/cli/store.ts',
  'src/commands/cli/store-report.ts',
  'src/operator/key-admin.ts',
])

interface Summary {
  readonly lines: { readonly total: number; readonly covered: number; readonly pct: number }
}

const root = join(import.meta.dirname, '..')
const report = JSON.parse(
  readFileSync(join(root, '.tap/report/coverage-summary.json'), 'utf8'),
) as Record<string, Summary>

const files = Object.entries(report)
  .map(([file, { lines }]) => ({ name: file.slice(root.length + 1), lines }))
  .filter(({ name }) => name.startsWith('src/') && !name.startsWith('src/gen/'))
  .filter(({ name }) => !TESTED_ELSEWHERE.has(name))
const sum = (count: 'total' | 'covered') =>
  files.reduce((total, { lines }) => total + lines[count], 0)
const ofAll = (sum('covered') / sum('total')) * 100

const faults = files
  .filter(({ lines }) => lines.pct < LEAST_OF_FILE)
  .map(
    ({ name, lines }) =>
      `${name}: ${String(lines.pct)}%, at least ${String(LEAST_OF_FILE)}% is required`,
  )
if (ofAll < LEAST_OF_ALL) {
  faults.push(`all files: ${ofAll.toFixed(2)}%, at least ${String(LEAST_OF_ALL)}% is required`)
}
for (const fault of faults) process.stderr.write(`line coverage is too low: ${fault}\n`)
process.stdout.write(`line coverage: ${ofAll.toFixed(2)}% in ${String(files.length)} files\n`)
process.exitCode = faults.length === 0 ? 0 : 1
