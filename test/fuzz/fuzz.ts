// Sends inputs of the corpus, and mutations of them, to the built program until the time is over.
//
// usage: npm run fuzz -- [--minutes N] [--seed S] [--target NAME] [--first INDEX --count N]
import { parseArgs } from 'node:util'

import { attack } from './attack.ts'
import type { Subject } from './subjects.ts'
import { startTargets } from './targets.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string' },
    target: { type: 'string' },
    first: { type: 'string', default: '0' },
    count: { type: 'string' },
  },
})
const seed = Number(values.seed ?? Date.now() % 1_000_000)
const count = values.count === undefined ? Infinity : Number(values.count)

function print(line: string): void {
  process.stdout.write(`${line}\n`)
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

const { targets: all, subjects } = await startTargets()
const targets = all.filter(({ name }) => values.target === undefined || name === values.target)
if (targets.length === 0)
  throw new Error(`the targets are ${all.map(({ name }) => name).join(', ')}`)
print(`seed ${String(seed)}`)

const findings: string[] = []
for (const target of targets) {
  const endsAt = performance.now() + (Number(values.minutes) * 60_000) / targets.length
  const result = await attack(target, {
    seed,
    first: Number(values.first),
    goOn: (sent) => sent < count && performance.now() < endsAt,
  })
  print(`${target.name}: ${String(result.sent)} inputs, ${String(result.findings.length)} findings`)
  findings.push(...result.findings)
}
findings.push(...(await Promise.all(subjects.map(findEndFault))).flat())
for (const finding of findings) print(finding)
process.exitCode = findings.length > 0 ? 1 : 0
