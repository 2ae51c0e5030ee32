import { PerformanceObserver } from 'node:perf_hooks'
import type { Clock } from '../time/clock.ts'
import type { Logger } from '../telemetry/log.ts'

const REMIND_EVERY_MS = 60_000
/** Longer than the lifetime of any stream. */
const NEVER_MS = 1e12

export interface RefusedStreamsOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly onRefused: (streams: number) => void
}

/**
 * Reports streams that HTTP/2 refused before a handler saw them. A CSI driver older than 1.6.0 causes them: it sends
 * the path of the socket as :authority (grpc-node#258, nodejs/node#32326). nghttp2 resets such a stream itself, and
 * neither node:http2 nor grpc-js emits an event. However, Node.js measures every HTTP/2 stream (perf_hooks, entry type
 * http2). For a stream without headers, timeToFirstHeader is a difference from an unset time and extremely large. Returns a
 * function that stops the watch.
 */
export function watchRefusedStreams(options: RefusedStreamsOptions): () => void {
  const { clock, log, onRefused } = options
  let warnedAt = -Infinity
  const observer = new PerformanceObserver((list) => {
    const refused = list.getEntries().filter(isRefused)
    if (refused.length > 0) onRefused(refused.length)
    if (refused.length === 0 || clock.monotonic() - warnedAt < REMIND_EVERY_MS) return
    warnedAt = clock.monotonic()
    log.error(
      'HTTP/2 refused a stream because its headers are invalid; a Secrets Store CSI driver older than 1.6.0 ' +
        'sends the path of the socket as :authority: update the driver to 1.6.0 or newer',
    )
  })
  observer.observe({ entryTypes: ['http2'] })
  return () => observer.disconnect()
}

function isRefused(entry: { readonly name: string; readonly detail?: unknown }): boolean {
  if (entry.name !== 'Http2Stream') return false
  const { detail } = entry
  if (typeof detail !== 'object' || detail === null || !('timeToFirstHeader' in detail))
    return false
  return (
    typeof detail.timeToFirstHeader === 'number' && Math.abs(detail.timeToFirstHeader) > NEVER_MS
  )
}
