/** What a program uses at one time; a figure that could not be read is absent. */
export interface Usage {
  readonly atMs: number
  readonly residentMiB: number
  readonly files: number
  readonly heapMiB?: number | undefined
  readonly timers?: number | undefined
  readonly sockets?: number | undefined
}

export type Figure = Exclude<keyof Usage, 'atMs'>

export interface Level {
  readonly figure: Figure
  readonly early: number
  readonly late: number
  /** How much more it may be. */
  readonly spare: number
  readonly isLevel: boolean
}

/**
 * How much more a program may use late than early. Its heap grows until V8 collects it, so what counts of each stretch is the
 * least of all samples; of resident memory, which V8 returns late, the middle.
 */
const SPARE: Readonly<Record<Figure, number>> = {
  residentMiB: 32,
  heapMiB: 12,
  files: 8,
  timers: 16,
  sockets: 8,
}

const WARM_UP_MS = 60_000
/** With fewer samples there is no judgment. */
const MIN_SAMPLES = 4

/**
 * Compares two stretches of the same length in the life of a process: one that begins after the warm-up (a minute, or a quarter
 * of its life if that is shorter), and its end. Undefined if its life was too short for that.
 */
export function judgeLevels(samples: readonly Usage[]): readonly Level[] | undefined {
  const [first, last] = [samples[0], samples.at(-1)]
  if (first === undefined || last === undefined) return undefined
  const lifeMs = last.atMs - first.atMs
  const warmAt = first.atMs + Math.min(WARM_UP_MS, lifeMs / 4)
  const stretchMs = (last.atMs - warmAt) / 3
  const early = samples.filter(({ atMs }) => atMs >= warmAt && atMs <= warmAt + stretchMs)
  const late = samples.filter(({ atMs }) => atMs >= last.atMs - stretchMs)
  const levels: Level[] = []
  for (const figure of Object.keys(SPARE) as Figure[]) {
    const [earlyLevel, lateLevel] = [levelOf(early, figure), levelOf(late, figure)]
    if (earlyLevel === undefined || lateLevel === undefined) return undefined
    const spare = SPARE[figure]
    const isLevel = lateLevel <= earlyLevel + spare
    levels.push({ figure, early: earlyLevel, late: lateLevel, spare, isLevel })
  }
  return levels
}

function levelOf(samples: readonly Usage[], figure: Figure): number | undefined {
  const values = samples
    .map((sample) => sample[figure])
    .filter((value) => value !== undefined)
    .toSorted((one, other) => one - other)
  if (values.length < MIN_SAMPLES) return undefined
  return figure === 'residentMiB' ? values[Math.floor(values.length / 2)] : values[0]
}
