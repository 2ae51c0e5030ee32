import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { eventually } from '../../test/real/host/eventually.ts'
import { tempFolder } from '../../test/real/host/temp-folder.ts'
import { load } from '../latency.ts'
import { writeProbedLauncher } from '../probed-launcher.ts'
import { microseconds, type Row } from '../table.ts'
import { sumByPart, type CpuProfile } from './cpu-profile.ts'
import { measureShares } from './share-rows.ts'
import { Subjects, type Kind, type SubjectOptions } from './subjects.ts'

const WARM_UP_CALLS = 3_000
/** Parts below this share of the CPU time are one row. */
const MIN_SHARE = 0.01

const PROFILED: readonly { kind: Kind; name: string; callers: number; calls: number }[] = [
  { kind: 'decrypt', name: 'Decrypt', callers: 1, calls: 3_000 },
  { kind: 'decrypt', name: 'Decrypt', callers: 64, calls: 20_000 },
  { kind: 'encrypt', name: 'Encrypt', callers: 64, calls: 20_000 },
  { kind: 'localDecrypt', name: 'Decrypt with local keys', callers: 64, calls: 30_000 },
  { kind: 'localEncrypt', name: 'Encrypt with local keys', callers: 64, calls: 30_000 },
]

/**
 * Where the time of a call goes: first a single Decrypt between socket and Vault, then the CPU time of the plugin by package and
 * folder, from V8's sampling profiler.
 */
export async function profileCalls(options: Omit<SubjectOptions, 'wrap'>): Promise<Row[]> {
  const subjects = await Subjects.start(options)
  const rows: Row[] = []
  try {
    rows.push(...(await measureShares(subjects)))
  } finally {
    await subjects.stop()
  }
  for (const profiled of PROFILED) rows.push(...(await profileCall(options, profiled)))
  return rows
}

async function profileCall(
  options: Omit<SubjectOptions, 'wrap'>,
  { kind, name, callers, calls }: (typeof PROFILED)[number],
): Promise<Row[]> {
  const folder = tempFolder('profiles')
  const launcher = writeLauncher(folder)
  const subjects = await Subjects.start({
    ...options,
    wrap: ({ args }) => ({ command: launcher, args }),
  })
  try {
    const call = subjects.calls.get(kind)
    if (call === undefined) throw new Error(`there is no ${kind} to profile`)
    await load(callers, WARM_UP_CALLS, call)
    const { pid } = (kind.startsWith('local') ? subjects.localPlugin : subjects.plugin).program
    const file = join(folder, `${String(pid)}.cpuprofile`)
    await signal(pid, `${file}.started`)
    await load(callers, calls, call)
    await signal(pid, file)
    const profile = JSON.parse(readFileSync(file, 'utf8')) as CpuProfile
    const what = `${name}, ${String(callers)} ${callers === 1 ? 'caller' : 'callers'}`
    return makeRows(what, sumByPart(profile), calls)
  } finally {
    await subjects.stop()
  }
}

/** Sends SIGWINCH and waits for the file that the profiler writes in response (profiler.ts). */
async function signal(pid: number, file: string): Promise<void> {
  process.kill(pid, 'SIGWINCH')
  await eventually(file, () => existsSync(file))
}

function makeRows(what: string, parts: ReadonlyMap<string, number>, calls: number): Row[] {
  const total = [...parts.values()].reduce((sum, value) => sum + value, 0)
  const sorted = [...parts].toSorted(([, left], [, right]) => right - left)
  const large = sorted.filter(([, value]) => value >= MIN_SHARE * total)
  const rest = total - large.reduce((sum, [, value]) => sum + value, 0)
  return [
    { what: `${what}: CPU time`, value: microseconds(total / calls), ratio: '1.00' },
    ...[...large, ['all others', rest] as const].map(([part, value]) => ({
      what: `  ${part}`,
      value: microseconds(value / calls),
      ratio: (value / total).toFixed(2),
    })),
  ]
}

function writeLauncher(folder: string): string {
  const module = join(import.meta.dirname, 'profiler.ts')
  return writeProbedLauncher(folder, {
    module,
    variable: `PROFILE_FILE='${folder}/'$$.cpuprofile`,
  })
}
