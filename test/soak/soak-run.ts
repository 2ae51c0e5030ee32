import { setTimeout as sleep } from 'node:timers/promises'
import { Calls, type CallCount } from './load/calls.ts'
import { SOAK_FAULTS } from './faults/catalog.ts'
import { CsiLoad } from './load/csi-load.ts'
import { Director } from './faults/director.ts'
import { decryptAll, type Decrypted } from './load/final-check.ts'
import { Findings, type Finding } from './watch/findings.ts'
import type { LogCounts } from './watch/log-watch.ts'
import { makePlan, type Episode } from './faults/plan.ts'
import { PluginLoad } from './load/plugin-load.ts'
import { Random } from './random.ts'
import { Recovery, type RecoveryTimes } from './faults/recovery.ts'
import type { Level } from './watch/resource-level.ts'
import { Watch } from './watch/watch.ts'
import { closeWorld, openWorld, type World } from './members/world.ts'

const CALLERS = 4
/** Without faults, at the end: long enough for a republish of everything and a few reads of the metrics. */
const TAIL_MS = 20_000
/** Of all calls, those to plugins; the others go to the CSI provider. */
const SHARE_OF_PLUGINS = 0.7
const SHARE_OF_MOUNTS = 0.08

export interface SoakOptions {
  readonly seed: string
  readonly minutes: number
  readonly callsPerSecond: number
  readonly onProgress: (text: string) => void
}

export interface SoakResult {
  readonly seed: string
  readonly plannedMinutes: number
  readonly seconds: number
  readonly findings: readonly Finding[]
  readonly findingCount: number
  readonly faults: Readonly<Record<string, number>>
  readonly calls: Readonly<Record<string, CallCount>>
  readonly recoveries: readonly RecoveryTimes[]
  readonly decrypted: Decrypted | undefined
  readonly keyVersions: number
  readonly levels: readonly { readonly name: string; readonly levels: readonly Level[] }[]
  readonly logs: LogCounts
}

/** The faults of a run: the same for the same seed and length. */
export function planOf(seed: string, minutes: number): readonly Episode[] {
  const random = new Random(seed).fork('faults')
  return makePlan(SOAK_FAULTS, { random, durationMs: minutes * 60_000 })
}

export async function runSoak(options: SoakOptions): Promise<SoakResult> {
  const { seed, minutes, onProgress } = options
  const startedAt = performance.now()
  const findings = new Findings(({ kind, message }) => onProgress(`FAILED: ${kind}: ${message}`))
  const world = await openWorld(seed, findings)
  const calls = new Calls(findings)
  const recovery = new Recovery(findings)
  const watch = new Watch(world)
  const plan = planOf(seed, minutes)
  let decrypted: Decrypted | undefined
  let levels: SoakResult['levels'] = []
  try {
    await disturb({ world, options, calls, recovery, watch, plan })
    levels = watch.judge()
    await watch.readPages()
    for (const member of world.members) await member.stop()
    watch.finish()
    onProgress(`decrypting ${String(world.handedOut.size + world.podRecords.size)} ciphertexts`)
    decrypted = await decryptAll(world)
  } catch (error) {
    findings.add('soak', error instanceof Error ? (error.stack ?? error.message) : String(error))
  } finally {
    await closeWorld(world)
  }
  return {
    seed,
    plannedMinutes: minutes,
    seconds: Math.round((performance.now() - startedAt) / 1000),
    findings: findings.kept,
    findingCount: findings.total,
    faults: countFaults(plan),
    calls: Object.fromEntries(calls.counts),
    recoveries: recovery.times,
    decrypted,
    keyVersions: world.versions.latest,
    levels,
    logs: watch.logs,
  }
}

interface Disturbance {
  readonly world: World
  readonly options: SoakOptions
  readonly calls: Calls
  readonly recovery: Recovery
  readonly watch: Watch
  readonly plan: readonly Episode[]
}

/** Runs the load and the watch while the faults happen, and for a while after them. */
async function disturb(given: Disturbance): Promise<void> {
  const { world, options, recovery, watch, plan } = given
  const { seed, onProgress: onFault } = options
  const random = new Random(seed)
  const stop = new AbortController()
  const director = new Director({
    world,
    faults: SOAK_FAULTS,
    recovery,
    random: random.fork('recovery'),
    onFault,
  })
  const direct = async () => {
    await director.recoverAll('the start')
    for (const [at, episode] of plan.entries()) {
      if (stop.signal.aborted) return
      onFault(`episode ${String(at + 1)} of ${String(plan.length)}`)
      await director.run(episode)
    }
    await sleep(TAIL_MS)
  }
  const work = [startLoad(given, random, stop.signal), watch.run(stop.signal), direct()]
  try {
    // The first one that fails ends all of them.
    await Promise.race(work)
  } finally {
    stop.abort()
    await Promise.allSettled(work)
  }
}

async function startLoad(
  { world, options, calls }: Disturbance,
  random: Random,
  signal: AbortSignal,
): Promise<void> {
  const { plugins, csi, findings, handedOut, podRecords } = world
  const { callsPerSecond } = options
  const context = { calls, findings, signal }
  const perSecond = (callsPerSecond * SHARE_OF_PLUGINS) / plugins.length
  const csiLoad = new CsiLoad(csi, {
    ...context,
    records: podRecords,
    plaintexts: handedOut.plaintexts,
  })
  await csi.readPublicKeys()
  await Promise.all([
    ...plugins.map((member) =>
      new PluginLoad(member, world, context).run(random.fork(member.name), {
        callers: CALLERS,
        perSecond,
      }),
    ),
    csiLoad.run(random.fork(csi.name), {
      mountsPerSecond: callsPerSecond * SHARE_OF_MOUNTS,
      requestsPerSecond: callsPerSecond * (1 - SHARE_OF_PLUGINS - SHARE_OF_MOUNTS),
    }),
  ])
}

function countFaults(plan: readonly Episode[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { faults } of plan)
    for (const { kind } of faults) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}
