import type { Availability } from './availability.ts'

export interface Call {
  readonly kind: string
  /** In milliseconds since 1970. */
  readonly from: number
  readonly to: number
  readonly deadline: number
  /** Why it failed. */
  readonly fault: string | undefined
}

/** Calls with their times and outcomes. */
export class Tally {
  readonly #calls: Call[] = []

  /** Runs a call; its failure is only counted. */
  async count(kind: string, deadlineMs: number, call: () => Promise<void>): Promise<void> {
    const from = now()
    const fault = await call().then(
      () => undefined,
      (error: unknown) => String(error),
    )
    this.#calls.push({ kind, from, to: now(), deadline: from + deadlineMs, fault })
  }

  get calls(): number {
    return this.#calls.length
  }

  get failed(): readonly Call[] {
    return this.#calls.filter(({ fault }) => fault !== undefined)
  }

  /** Failed calls that could have succeeded before their own deadline, because Vault worked meanwhile. */
  avoidable(vault: Availability): readonly Call[] {
    return this.failed.filter(({ from, deadline }) => vault.allowedSuccess(from, deadline))
  }

  /** The longest time in which no call of one kind succeeded. */
  get longestGapMs(): number {
    const kinds = Map.groupBy(this.#calls, ({ kind }) => kind)
    return Math.max(0, ...[...kinds.values()].map(longestGap))
  }
}

function longestGap(calls: readonly Call[]): number {
  const succeeded = calls.filter(({ fault }) => fault === undefined).map(({ to }) => to)
  const begin = Math.min(...calls.map(({ from }) => from))
  const end = Math.max(...calls.map(({ to }) => to))
  const times = [begin, ...succeeded.toSorted((one, other) => one - other), end]
  return Math.max(...times.map((time, index) => time - (times[index - 1] ?? time)))
}

function now(): number {
  return performance.timeOrigin + performance.now()
}
