// Speed of the KMS plugin compared with direct calls to Transit: part of npm run bench.
//
// Everything is real: OpenBao with TLS and an audit file, the built program in its own process, gRPC over its unix socket.
// Baseline and plugin take turns in one run, so that a noisy machine affects both; each figure is the median of the rounds of
// several sets of processes.
import { makeCallRows, type Measured } from './kms/call-rows.ts'
import { measureConcurrency } from './kms/concurrency-rows.ts'
import { profileCalls } from './kms/profile.ts'
import { measureShares } from './kms/share-rows.ts'
import { measureStarts } from './kms/start-rows.ts'
import { Subjects, type Calls, type Kind } from './kms/subjects.ts'
import { load, middle, type LoadResult } from './latency.ts'
import { readOptions } from './options.ts'
import { readResidentMemory } from './process-figures.ts'
import { mebibytes, printTable, type Row } from './table.ts'

/** Each of its own processes: where a process lies in memory alone changes its speed by up to a fifth (docs/performance.md, "Slow days"). */
const SETS = 3
/** In each set. */
const ROUNDS = 2
const CALLERS = 64
const SINGLE_CALLS = 1_000
const CONCURRENT_CALLS = 6_000
const MEMORY_CALLS = 50_000
const MAX_REST_MEBIBYTES = 80
const MAX_LOADED_MEBIBYTES = 110

type Rounds = { readonly one: Measured[]; readonly many: Measured[] }

const options = readOptions()
if (options.profile) {
  printTable(await profileCalls({ ...options, callers: CALLERS }), options)
} else {
  const rows = await measureAll()
  printTable(rows, options)
  process.exitCode = rows.some(({ ok }) => ok === false) ? 1 : 0
}

async function measureAll(): Promise<Row[]> {
  const rounds: Rounds = { one: [], many: [] }
  for (let set = 1; set < SETS; set += 1)
    await withSubjects(({ calls }) => measureCalls(calls, rounds))
  return withSubjects(async (subjects) => {
    const { calls, plugin } = subjects
    const restMemory = await readResidentMemory(plugin.program.pid)
    await measureCalls(calls, rounds)
    const shares = await measureShares(subjects)
    const concurrency = await measureConcurrency(subjects)
    await load(CALLERS, MEMORY_CALLS, calls.get('decrypt') ?? missing)
    const loadedMemory = await readResidentMemory(plugin.program.pid)
    return [
      ...makeCallRows(middleOf(rounds.one), middleOf(rounds.many), CALLERS),
      ...shares,
      ...concurrency,
      ...(await measureStarts(subjects)),
      memoryRow('at rest', restMemory, MAX_REST_MEBIBYTES),
      memoryRow(
        `after ${MEMORY_CALLS.toLocaleString('en')} more calls`,
        loadedMemory,
        MAX_LOADED_MEBIBYTES,
      ),
    ]
  })
}

async function withSubjects<T>(measure: (subjects: Subjects) => Promise<T>): Promise<T> {
  const subjects = await Subjects.start({ ...options, callers: CALLERS })
  try {
    return await measure(subjects)
  } finally {
    await subjects.stop()
  }
}

async function measureCalls(calls: Calls, { one, many }: Rounds): Promise<void> {
  // A new process is slower for thousands of calls (docs/performance-notes.md, "Decrypts one by one").
  await measureOnce(CALLERS, CONCURRENT_CALLS, calls)
  for (let round = 0; round < ROUNDS; round += 1)
    one.push(await measureOnce(1, SINGLE_CALLS, calls))
  for (let round = 0; round < ROUNDS; round += 1)
    many.push(await measureOnce(CALLERS, CONCURRENT_CALLS, calls))
}

function middleOf(rounds: readonly Measured[]): Measured {
  const kinds = rounds[0]?.keys() ?? []
  return new Map(
    [...kinds].map((kind) => [kind, middle(rounds.map((round) => round.get(kind) ?? missing()))]),
  )
}

async function measureOnce(callers: number, count: number, calls: Calls): Promise<Measured> {
  const results = new Map<Kind, LoadResult>()
  for (const [kind, call] of calls) results.set(kind, await load(callers, count, call))
  return results
}

function memoryRow(when: string, value: number, limit: number): Row {
  return {
    what: `memory ${when}`,
    value: mebibytes(value),
    target: `<= ${String(limit)} MiB`,
    ok: value <= limit,
  }
}

function missing(): never {
  throw new Error('a kind of call was not measured')
}
