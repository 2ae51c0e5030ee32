import type { Histogram } from 'prom-client'

/** Durations of one method and status that are kept before the histogram counts them. */
const MAX_PENDING = 64

interface Series {
  readonly labels: { readonly method: string; readonly code: string }
  readonly seconds: Float64Array
  pending: number
}

/**
 * Collects the durations of calls for a histogram, which counts many in one go. One by one, prom-client's code is not in the caches
 * of the processor, and takes up to a tenth of the time of a call (docs/performance-notes.md, "Metrics, salts and unread
 * answers").
 */
export class CallDurations {
  readonly #histogram: Histogram<'method' | 'code'>
  readonly #byMethod = new Map<string, Map<string, Series>>()

  constructor(histogram: Histogram<'method' | 'code'>) {
    this.#histogram = histogram
  }

  add(method: string, code: string, seconds: number): void {
    const series = this.#seriesOf(method, code)
    series.seconds[series.pending] = seconds
    series.pending += 1
    if (series.pending === MAX_PENDING) this.#count(series)
  }

  /** Makes the histogram complete. Required before it is read. */
  flush(): void {
    for (const byCode of this.#byMethod.values())
      for (const series of byCode.values()) this.#count(series)
  }

  #seriesOf(method: string, code: string): Series {
    let byCode = this.#byMethod.get(method)
    if (byCode === undefined) this.#byMethod.set(method, (byCode = new Map()))
    let series = byCode.get(code)
    if (series === undefined) {
      series = { labels: { method, code }, seconds: new Float64Array(MAX_PENDING), pending: 0 }
      byCode.set(code, series)
    }
    return series
  }

  #count(series: Series): void {
    const { labels, seconds, pending } = series
    series.pending = 0
    for (const each of seconds.subarray(0, pending)) this.#histogram.observe(labels, each)
  }
}
