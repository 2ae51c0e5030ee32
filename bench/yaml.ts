import { readYaml } from '../src/yaml/source.ts'
import { SHAPES } from '../test/yaml/shapes.ts'

/**
 * Finds texts that take more than linear time to parse: CPU time of each shape at two sizes. Four times the time for
 * four times the items is linear.
 */
const SIZES = [2_500, 10_000] as const
const ROUNDS = 3

for (const [name, make] of Object.entries(SHAPES)) {
  const [small, large] = SIZES.map((size) => timeOf(make(size)))
  if (small === undefined || large === undefined) continue
  process.stdout.write(`${name.padEnd(28)} ${format(small)} ms  ${format(large)} ms\n`)
}

/** The best of several rounds, because the first ones include compilation. */
function timeOf(text: string): number {
  return Math.min(...Array.from({ length: ROUNDS }, () => measure(text)))
}

function measure(text: string): number {
  const before = process.cpuUsage()
  readYaml(text)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

function format(milliseconds: number): string {
  return milliseconds.toFixed(1).padStart(8)
}
