import type { Random } from '../random.ts'

/** What the plan has to know of a kind of fault. */
export interface FaultKind {
  readonly name: string
  /** The programs that it can concern. */
  readonly members: readonly string[]
  /** Whether it concerns all of them, as a fault of Vault does, and never one alone. */
  readonly concernsAll: boolean
  /** Two faults of an episode do not use the same thing of the same program; `vault` is one thing for all of them. */
  readonly uses: readonly string[]
  /** Whether a program ends. */
  readonly endsProgram: boolean
  /** How often it comes for each time that another kind comes. Default: 1. */
  readonly weight?: number | undefined
}

export interface PlannedFault {
  readonly kind: string
  readonly members: readonly string[]
  /** After the beginning of the episode. */
  readonly atMs: number
  readonly durationMs: number
}

/** Faults that overlap, the recovery, and a time without faults. */
export interface Episode {
  readonly faults: readonly PlannedFault[]
  readonly calmMs: number
}

const MAX_FAULTS = 3
const SPREAD_MS = 5_000
const MIN_FAULT_MS = 1_000
const MAX_FAULT_MS = 10_000
const MIN_CALM_MS = 3_000
const MAX_CALM_MS = 8_000
/** A guess, for the length of the plan; the run waits as long as a recovery takes. */
const RECOVERY_MS = 5_000
/** In the last part of a run all programs keep running, so that their memory can be judged. */
const RESTARTS_UNTIL = 0.6

/** The faults of a run with their times. Each kind comes once (or as often as its weight) before any comes again. */
export function makePlan(
  kinds: readonly FaultKind[],
  { random, durationMs }: { random: Random; durationMs: number },
): readonly Episode[] {
  const deck = new Deck(kinds, random)
  const episodes: Episode[] = []
  for (let atMs = 0; atMs < durationMs;) {
    const mayRestart = atMs < durationMs * RESTARTS_UNTIL
    const episode = makeEpisode(deck, random, mayRestart)
    episodes.push(episode)
    const lengthMs = Math.max(...episode.faults.map((fault) => fault.atMs + fault.durationMs))
    atMs += lengthMs + RECOVERY_MS + episode.calmMs
  }
  return episodes
}

function makeEpisode(deck: Deck, random: Random, mayRestart: boolean): Episode {
  const taken = new Set<string>()
  const faults: PlannedFault[] = []
  const wanted = random.between(1, MAX_FAULTS + 1)
  for (let count = 0; count < wanted; count += 1) {
    const atMs = count === 0 ? 0 : random.between(0, SPREAD_MS)
    const durationMs = random.between(MIN_FAULT_MS, MAX_FAULT_MS)
    const drawn = deck.draw(taken, mayRestart)
    if (drawn === undefined) break
    faults.push({ ...drawn, atMs, durationMs })
  }
  return { faults, calmMs: random.between(MIN_CALM_MS, MAX_CALM_MS) }
}

class Deck {
  readonly #kinds: readonly FaultKind[]
  readonly #random: Random
  #left: FaultKind[] = []

  constructor(kinds: readonly FaultKind[], random: Random) {
    this.#kinds = kinds.flatMap((kind) => Array.from({ length: kind.weight ?? 1 }, () => kind))
    this.#random = random
  }

  /** The next kind that fits to what is taken; a kind that does not fit waits. */
  draw(
    taken: Set<string>,
    mayRestart: boolean,
  ): Pick<PlannedFault, 'kind' | 'members'> | undefined {
    const fits = (kind: FaultKind) => (mayRestart || !kind.endsProgram) && this.#fits(kind, taken)
    if (!this.#left.some(fits)) this.#left.push(...this.#random.shuffle(this.#kinds))
    const kind = this.#left.find(fits)
    if (kind === undefined) return undefined
    this.#left.splice(this.#left.indexOf(kind), 1)
    const members = this.#choose(kind, taken)
    for (const use of usesOf(kind, members)) taken.add(use)
    return { kind: kind.name, members }
  }

  #fits(kind: FaultKind, taken: ReadonlySet<string>): boolean {
    const isFree = (members: readonly string[]) =>
      usesOf(kind, members).every((use) => !taken.has(use))
    return kind.concernsAll ? isFree(kind.members) : kind.members.some((name) => isFree([name]))
  }

  /** One program, or a quarter of the time all that are free. */
  #choose(kind: FaultKind, taken: ReadonlySet<string>): readonly string[] {
    if (kind.concernsAll) return kind.members
    const free = kind.members.filter((name) => usesOf(kind, [name]).every((use) => !taken.has(use)))
    return this.#random.next() < 0.25 ? free : [this.#random.pick(free)]
  }
}

export function usesOf({ uses }: FaultKind, members: readonly string[]): readonly string[] {
  return uses.flatMap((use) =>
    use.startsWith('vault') ? [use] : members.map((name) => `${use} of ${name}`),
  )
}
