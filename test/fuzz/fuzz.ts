// Sends inputs of the corpus, and mutations of them, to the built program until the time is over: npm run fuzz -- --help.
import { runCommand } from '../real/host/command-line.ts'
import { attack } from './attack.ts'
import { parseCommandLine, USAGE, type CommandLine } from './command-line.ts'
import type { Subject } from './subjects.ts'
import { startTargets, type Target } from './targets.ts'

await runCommand({ usage: USAGE, parse: parseCommandLine, run })

async function run(options: CommandLine): Promise<void> {
  const { targets, subjects } = await startTargets()
  const chosen = targets.filter(({ name }) => [undefined, name].includes(options.target))
  if (chosen.length === 0)
    throw new Error(`the targets are ${targets.map(({ name }) => name).join(', ')}`)
  print(`seed ${String(options.seed)}`)
  const findings: string[] = []
  for (const target of chosen)
    findings.push(...(await attackFor(target, options.minutes / chosen.length, options)))
  findings.push(...(await Promise.all(subjects.map(findEndFault))).flat())
  for (const finding of findings) print(finding)
  process.exitCode = findings.length > 0 ? 1 : 0
}

async function attackFor(
  target: Target,
  minutes: number,
  { seed, first, count }: CommandLine,
): Promise<readonly string[]> {
  const endsAt = performance.now() + minutes * 60_000
  const { sent, findings } = await attack(target, {
    seed,
    first,
    goOn: (done) => done < count && performance.now() < endsAt,
  })
  print(`${target.name}: ${String(sent)} inputs, ${String(findings.length)} findings`)
  return sent === 0 ? [`${target.name}: no input was sent in this time`] : findings
}

/** Why a program uses more resources than before, or did not stop cleanly. */
async function findEndFault({ resources, stop }: Subject): Promise<readonly string[]> {
  try {
    await resources.requireLevel({ pass: () => undefined as never })
    await stop()
    return []
  } catch (error) {
    return [String(error)]
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
