// Reads a list of texts from stdin and prints for each how many blocks of JavaScript run when it is read as the objects of a class.
// A process of its own: V8's counters would otherwise disturb those of the test coverage.
import { Session } from 'node:inspector/promises'
import { readFileSync } from 'node:fs'

import { readClass } from '../../../src/csi/class/secret-provider-class.ts'

const session = new Session()
session.connect()
await session.post('Profiler.enable')
await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })

async function takeSteps(): Promise<number> {
  const { result } = await session.post('Profiler.takePreciseCoverage')
  const functions = result.flatMap((script) => script.functions)
  return functions.flatMap(({ ranges }) => ranges).reduce((sum, { count }) => sum + count, 0)
}

const steps: number[] = []
for (const text of JSON.parse(readFileSync(0, 'utf8')) as string[]) {
  await takeSteps()
  readClass({ role: 'web', objects: text })
  steps.push(await takeSteps())
}
process.stdout.write(JSON.stringify(steps))
