import { PerformanceObserver } from 'node:perf_hooks'
import type { Clock } from '../time/clock.ts'
import type { Logger } from '../telemetry/log.ts'

const REMIND_EVERY_MS = 60_000
/** More than any stream lives, in milliseconds. */
const NEVER = 1e12

export interface RefusedStreamsOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly onRefused: (streams: number) => void
}

/**
 * Tells of streams that HTTP/2 refused before any handler saw them: the one sign of a CSI driver older than 1.6.0,
 * which sends the path of the socket as :authority (grpc-node#258, nodejs/node#32326). nghttp2 resets such a
 * stream by itself; neither node:http2 nor grpc-js has an event for that. But node measures every HTTP/2 stream
 * (perf_hooks, entry type http2), and one whose headers never came to be has no time of its first header: the
 * difference to an unset clock, which is an absurdly large number. Returns what ends the watch.
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
      'a stream was refused because its HTTP/2 headers are not valid, before anything could answer it; ' +
        'a Secrets Store CSI driver older than 1.6.0 sends such an :authority (the path of the socket): update the driver to 1.6.0 or newer',
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
  return typeof detail.timeToFirstHeader === 'number' && Math.abs(detail.timeToFirstHeader) > NEVER
}
