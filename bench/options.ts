import { parseArgs } from 'node:util'

/** The options of `npm run bench` and of its parts. */
export type BenchOptions = {
  /** Prints the rows as JSON. */
  readonly json: boolean
  /** The binary of vault-kubernetes-kms, which is measured in the same run. */
  readonly peer: string | undefined
  /** Vault without TLS and without an audit file. */
  readonly plain: boolean
  /** Reports where the CPU time of a call goes, instead of the table. */
  readonly profile: boolean
  /** Where a plot of the ratios is written, as SVG. */
  readonly plot: string | undefined
}

const USAGE = `usage: npm run bench -- [--json] [--plot FILE] [--plain] [--peer PATH] [--profile]

  --json       print the rows as JSON
  --plot FILE  write the ratios of the KMS plugin as SVG
  --plain      measure with a Vault that has neither TLS nor an audit file
  --peer PATH  measure this binary of vault-kubernetes-kms in the same run
  --profile    report where the CPU time of a call goes, and nothing else

Exit codes: 0 all targets reached, 1 a target missed or an error, 2 wrong usage.
`

/** Reads the command line. Ends the process with 0 for --help and with 2 if it cannot be read. */
export function readOptions(): BenchOptions {
  try {
    const { values } = parseArgs({
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        json: { type: 'boolean', default: false },
        peer: { type: 'string' },
        plain: { type: 'boolean', default: false },
        plot: { type: 'string' },
        profile: { type: 'boolean', default: false },
      },
    })
    if (!values.help) return { peer: undefined, plot: undefined, ...values }
    process.stdout.write(USAGE)
    process.exit(0)
  } catch (error) {
    process.stderr.write(
      `bench: ${error instanceof Error ? error.message : String(error)}\n${USAGE}`,
    )
    process.exit(2)
  }
}
