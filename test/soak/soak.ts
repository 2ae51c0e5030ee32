// Random faults under load: npm run soak [-- --minutes N --seed TEXT --rate CALLS_PER_SECOND --json]. See docs/reliability.md.
import { runCommand } from '../real/host/command-line.ts'
import { parseCommandLine, USAGE, type CommandLine } from './command-line.ts'
import { formatReport, isProved } from './report.ts'
import { runSoak } from './soak-run.ts'

// By default these end the process without its exit handlers, which remove its folders.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

await runCommand({ usage: USAGE, parse: parseCommandLine, run })

async function run({ json, ...options }: CommandLine): Promise<void> {
  const startedAt = performance.now()
  const onProgress = (text: string) => {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
    process.stderr.write(`${seconds.padStart(6)} s  ${text}\n`)
  }
  onProgress(`seed ${options.seed}`)
  const result = await runSoak({ ...options, onProgress })
  const text = json ? `${JSON.stringify(result, undefined, 2)}\n` : formatReport(result)
  process.stdout.write(text)
  if (!isProved(result)) process.exitCode = 1
}
