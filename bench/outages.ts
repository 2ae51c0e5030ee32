// What callers of the KMS plugin see during outages: npm run bench:outages [-- --program FILE --json --only TEXT].
//
// Everything is real: OpenBao (one node, or a cluster of three), the built program, gRPC over its unix socket, and proxies that
// fail on purpose. With --program, the launcher of another build, each cell shows this build and that one: `0 / 5,256`.
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { OUTAGE_CASES } from './outage-cases.ts'
import { Subject, type Result } from './outage-subject.ts'
import { printCells } from './table.ts'

type Column = readonly [name: string, show: (result: Result) => string]

const COLUMNS: readonly Column[] = [
  ['calls', ({ figures }) => count(figures?.calls)],
  ['failed', ({ figures }) => count(figures?.failed)],
  ['without a reason', ({ figures }) => count(figures?.withoutReason)],
  ['longest gap', ({ figures }) => seconds(figures?.longestGapSeconds)],
  ['Status not ok', ({ figures }) => seconds(figures?.notOkSeconds)],
  ['wrong', ({ figures }) => count(figures?.wrongPlaintexts)],
  ['lost', ({ figures }) => count(figures?.lost)],
  ['also', ({ note = '' }) => note],
]

const { program, json, only } = parseArgs({
  options: {
    program: { type: 'string' },
    json: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
  },
}).values

const subjects = [new Subject('this build')]
if (program !== undefined) subjects.push(new Subject(program, resolve(program)))

const measured: { outage: string; results: Result[] }[] = []
for (const { name, skip = false, run } of OUTAGE_CASES) {
  if (!name.includes(only)) continue
  process.stderr.write(`${name}\n`)
  const results: Result[] = []
  for (const subject of skip === false ? subjects : []) results.push(await tryToRun(run, subject))
  if (skip !== false) results.push({ note: `skipped: ${skip}` })
  measured.push({ outage: name, results })
}

if (json) {
  const builds = subjects.map(({ name }) => name)
  process.stdout.write(`${JSON.stringify({ builds, measured }, undefined, 2)}\n`)
} else {
  printCells([
    ['outage', ...COLUMNS.map(([name]) => name)],
    ...measured.map(({ outage, results }) => [
      outage,
      ...COLUMNS.map(([, show]) => pair(results.map(show))),
    ]),
  ])
}
const isSafe = measured.every(({ results: [own] }) => {
  const { wrongPlaintexts = 0, lost = 0 } = own?.figures ?? {}
  return wrongPlaintexts + lost === 0 && own?.failed !== true
})
if (!isSafe) process.exitCode = 1

/** If a build does not even start, this is its result, and the other cases still run. */
async function tryToRun(
  run: (subject: Subject) => Promise<Result>,
  subject: Subject,
): Promise<Result> {
  try {
    return await run(subject)
  } catch (error) {
    const [firstLine] = String(error).split('; its output ends')
    return { note: `not measured: ${String(firstLine)}`, failed: true }
  }
}

function count(value: number | undefined): string {
  return value?.toLocaleString('en') ?? '-'
}

function seconds(value: number | undefined): string {
  return value === undefined ? '-' : `${value.toFixed(1)} s`
}

function pair(texts: readonly string[]): string {
  return texts.every((text) => text === '') ? '' : texts.map((text) => text || '-').join(' / ')
}
