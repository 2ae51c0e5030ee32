import { BridgeError } from '../errors.ts'
import { logKey, type Logger } from '../telemetry/log.ts'
import type { CancelTimer, Clock } from '../time/clock.ts'
import type { ServedSocket } from './unix-socket.ts'

/** Short, because the API server's next connection fails if the path is gone. */
const CHECK_INTERVAL_MS = 2_000

export interface SocketKeeperOptions {
  readonly socket: string
  readonly served: ServedSocket
  /** Serves the socket again. */
  readonly serve: () => Promise<ServedSocket>
  readonly clock: Clock
  readonly log: Logger
}

export interface SocketKeeper {
  /** Whether the path led to the socket at the last check. */
  readonly isServing: boolean
  /** Ends the checks and removes the socket from its path, unless a successor has put its own there. */
  release(): Promise<void>
}

/**
 * Checks that the path still leads to our socket: a clean-up job may remove it, and a process cannot see that. A path
 * that is free is served again; one that another process serves is not touched, but reported.
 */
export function keepServing(options: SocketKeeperOptions): SocketKeeper {
  const { socket, serve, clock, log } = options
  let { served } = options
  let isServing = true
  let isReleased = false
  let check = Promise.resolve()
  let cancel: CancelTimer = () => undefined

  const serveAgain = async () => {
    const successor = await serve()
    served.close()
    served = successor
    log.warn({ [logKey.socket]: socket }, 'the socket was gone from its path; it is served again')
  }
  const look = async () => {
    try {
      if (!(await served.isInPlace())) await serveAgain()
      isServing = true
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      const line = { [logKey.socket]: socket, [logKey.code]: error.code }
      if (isServing) log.error(line, `the socket is no longer served: ${error.message}`)
      isServing = false
    }
    schedule()
  }
  const schedule = () => {
    if (!isReleased) cancel = clock.after(CHECK_INTERVAL_MS, () => void (check = look()))
  }
  schedule()
  return {
    get isServing() {
      return isServing
    },
    release: async () => {
      isReleased = true
      cancel()
      await check
      await served.release()
    },
  }
}
