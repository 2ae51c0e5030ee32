import { CoverageProof } from '../../escrow/coverage.ts'
import { formatMetrics, formatMetricsOfUnreadable } from '../../escrow/metrics.ts'
import {
  describeIncomplete,
  describeKeys,
  formatCoverage,
  isComplete,
} from '../../escrow/reading.ts'
import { readEscrow, type EscrowFile } from '../../escrow/sealed-file.ts'
import { putHostFile } from '../../files/atomic-file.ts'
import { escapeControls } from '../../text/one-line.ts'
import { systemClock } from '../../time/clock.ts'
import { defineCommand, type CommandValues } from '../cli/command.ts'
import { etcdAccessOptions, etcdPrefixOption } from '../cli/options/etcd.ts'
import { flag, requiredText, text, usageError, type Option } from '../cli/option.ts'
import { skipHashCheckOption } from '../cli/store-report.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from '../cli/terminal.ts'
import { readSource } from '../verify.ts'
import { coverStore } from './store-coverage.ts'

const options = {
  escrow: requiredText('FILE', 'The escrow.'),
  snapshot: text('FILE', 'The etcd snapshot to compare it with. Default: etcd itself.'),
  skipHashCheck: skipHashCheckOption,
  prometheusFile: {
    takes: 'FILE',
    help: "Also write the result for the textfile collector of Prometheus' node exporter: NAME.prom",
    read: ([file], label) => {
      if (file === undefined || file.endsWith('.prom')) return file
      throw usageError(`${label} must end in .prom: the node exporter reads no other file`)
    },
  } satisfies Option<string | undefined>,
  json: flag('Print one JSON object.'),
  ...etcdAccessOptions,
  ...etcdPrefixOption,
}

type CheckValues = CommandValues<typeof options>

export const escrowCheckCommand = defineCommand({
  name: 'escrow check',
  usage: ['--escrow FILE [ETCD OPTIONS] [OPTIONS]', '--escrow FILE --snapshot FILE [OPTIONS]'],
  description: `
Compare the keys that stored objects need with the list in an escrow. It opens
nothing and needs neither Vault nor a share. The list in the escrow is proved only
when the escrow is opened.`,
  options,
  exitCodes: '0 every encrypted object is covered, 1 it is not, 2 wrong usage or configuration.',
  examples: [
    '$ transit-bridge escrow check --escrow escrow.json \\\n      --prometheus-file /var/lib/node_exporter/escrow.prom',
  ],
  run: runCheck,
})

/** Reports how much of a store an escrow covers. */
async function runCheck(values: CheckValues, terminal: Terminal): Promise<number> {
  const source = readSource(values)
  const { manifest } = await readForCheck(values)
  const proof = new CoverageProof(manifest)
  const coverage = await coverStore(source, values.etcdPrefix, proof, terminal)
  const ok = isComplete(coverage)
  const { entries: _, ...facts } = manifest
  const report = { ok, escrow: facts, coverage }
  await writeMetrics(values, formatMetrics(manifest, coverage, systemClock.now()))
  print(
    terminal,
    values.json
      ? JSON.stringify(report, null, 2)
      : [
          `the escrow of cluster ${escapeControls(manifest.clusterId)}, created at ${manifest.createdAt}, holds ${describeKeys(manifest)}`,
          ...formatCoverage(coverage),
          ok
            ? 'ok: the key of every encrypted object is in the list of the escrow, and the file is not damaged'
            : `${describeIncomplete([coverage])}; see above for why, and what to do`,
        ].join('\n'),
  )
  return ok ? EXIT_OK : EXIT_FAILED
}

/** The alert must not wait for two days until the metrics of the last good check are old. */
async function readForCheck(values: CheckValues): Promise<EscrowFile> {
  try {
    return await readEscrow(values.escrow)
  } catch (error) {
    await writeMetrics(values, formatMetricsOfUnreadable(systemClock.now()))
    throw error
  }
}

async function writeMetrics({ prometheusFile }: CheckValues, content: string): Promise<void> {
  if (prometheusFile === undefined) return
  await putHostFile({ path: prometheusFile, mode: 0o644, content })
}
