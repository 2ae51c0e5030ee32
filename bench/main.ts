// All figures of a release in one table: npm run bench [-- OPTIONS]. `--help` lists the options.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { readOptions } from './options.ts'
import { drawRatios } from './plot.ts'
import { printTable, type Row } from './table.ts'

const PARTS = [
  { name: 'KMS plugin', file: 'kms.ts', arguments: true },
  { name: 'CSI provider', file: 'csi.ts', arguments: false },
  { name: 'event loop of the CSI provider', file: 'csi-event-loop.ts', arguments: false },
] as const

const options = readOptions()
if (options.profile) {
  process.exitCode = await runPart('kms.ts', ['--profile', ...kmsArguments()], 'inherit')
} else {
  const rows: Row[] = []
  for (const part of PARTS) {
    process.stderr.write(`bench: measuring the ${part.name}\n`)
    rows.push(...(await readRows(part.file, part.arguments ? kmsArguments() : [])))
  }
  printTable(rows, options)
  if (options.plot !== undefined) writeFileSync(options.plot, drawRatios(rows))
  process.exitCode = rows.some(({ ok }) => ok === false) ? 1 : 0
}

function kmsArguments(): string[] {
  const peer = options.peer === undefined ? [] : ['--peer', options.peer]
  return options.plain ? ['--plain', ...peer] : peer
}

async function readRows(file: string, args: readonly string[]): Promise<Row[]> {
  const chunks: string[] = []
  const code = await runPart(file, ['--json', ...args], (text) => chunks.push(text))
  try {
    return JSON.parse(chunks.join('')) as Row[]
  } catch (cause) {
    throw new Error(`bench/${file} ended with ${String(code)} and printed no rows`, { cause })
  }
}

/** Runs a part in a separate process, so that one cannot warm up or disturb another. */
async function runPart(
  file: string,
  args: readonly string[],
  output: 'inherit' | ((text: string) => void),
): Promise<number> {
  const child = spawn(process.execPath, [join(import.meta.dirname, file), ...args], {
    stdio: ['ignore', output === 'inherit' ? 'inherit' : 'pipe', 'inherit'],
  })
  if (output !== 'inherit') child.stdout?.setEncoding('utf8').on('data', output)
  const [code] = (await once(child, 'close')) as [number | null]
  return code ?? 1
}
