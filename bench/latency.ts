/** Durations of many calls, in milliseconds. */
export class Latencies {
  readonly #times: number[] = []

  add(milliseconds: number): void {
    this.#times.push(milliseconds)
  }

  get count(): number {
    return this.#times.length
  }

  /** The duration that this share of the calls (0 to 1) did not exceed. */
  quantile(share: number): number {
    const sorted = this.#times.toSorted((left, right) => left - right)
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

export type LoadResult = {
  readonly p50: number
  readonly p99: number
  readonly perSecond: number
}

/**
 * Runs `calls` calls with the given number of concurrent callers; each starts its next call when the previous one ends. No
 * call starts after `isDone` returns true.
 */
export async function load(
  callers: number,
  calls: number,
  call: () => Promise<unknown>,
  isDone: () => boolean = () => false,
): Promise<LoadResult> {
  const latencies = new Latencies()
  let left = calls
  const startedAt = performance.now()
  const run = async () => {
    while (left > 0 && !isDone()) {
      left -= 1
      const from = performance.now()
      await call()
      latencies.add(performance.now() - from)
    }
  }
  await Promise.all(Array.from({ length: callers }, run))
  const seconds = (performance.now() - startedAt) / 1000
  return {
    p50: latencies.quantile(0.5),
    p99: latencies.quantile(0.99),
    perSecond: latencies.count / seconds,
  }
}

/** The median of each figure over several runs, so that a disturbed run does not count. */
export function middle(results: readonly LoadResult[]): LoadResult {
  return {
    p50: median(results.map((result) => result.p50)),
    p99: median(results.map((result) => result.p99)),
    perSecond: median(results.map((result) => result.perSecond)),
  }
}
