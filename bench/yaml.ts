import { readAsGo } from '../src/yaml/go/read.ts'
import { readYaml } from '../src/yaml/source.ts'
import { parseBoundedJson } from '../src/csi/bounded-json.ts'
import { parseSealed, takeSecrets } from '../src/vault/client/secret-fields.ts'
import { JSON_SHAPES, SHAPES } from '../test/yaml/shapes.ts'

/**
 * Finds texts that take more than linear time to parse: CPU time of each shape at two sizes, with the readers of YAML and of
 * JSON. Four times the time for four times the items is linear.
 */
const SIZES = [2_500, 10_000] as const
const ROUNDS = 3

const READERS = {
  own: (text: string) => readYaml(text),
  kubernetes: (text: string) => readAsGo(text, { json: true, strict: true }),
} as const

const JSON_READERS = {
  driver: (text: string) => parseBoundedJson(text),
  vault: readAnswer,
  kubernetes: READERS.kubernetes,
} as const

printTimes(SHAPES, READERS)
printTimes(JSON_SHAPES, JSON_READERS)

function printTimes(
  shapes: typeof SHAPES,
  readers: Readonly<Record<string, (text: string) => unknown>>,
): void {
  for (const [name, make] of Object.entries(shapes)) {
    for (const [reader, read] of Object.entries(readers)) {
      const [small, large] = SIZES.map((size) => timeOf(read, make(size)))
      if (small === undefined || large === undefined) continue
      const label = `${name.padEnd(28)} ${reader.padEnd(10)}`
      process.stdout.write(`${label} ${format(small)} ms  ${format(large)} ms\n`)
    }
  }
}

function readAnswer(text: string): unknown {
  try {
    return parseSealed(takeSecrets(Buffer.from(text), 'decrypt'))
  } catch {
    return undefined
  }
}

/** The best of several rounds, because the first ones include compilation. */
function timeOf(read: (text: string) => unknown, text: string): number {
  return Math.min(...Array.from({ length: ROUNDS }, () => measure(read, text)))
}

function measure(read: (text: string) => unknown, text: string): number {
  const before = process.cpuUsage()
  read(text)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

function format(milliseconds: number): string {
  return milliseconds.toFixed(1).padStart(8)
}
