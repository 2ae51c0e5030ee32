import { connect } from 'node:net'

import type { CancelTimer, Clock } from '../../time/clock.ts'

/** A running plugin accepts connections immediately. */
const TIMEOUT_MS = 1_000
const INTERVAL_MS = 1_000

export interface PluginProbe {
  /** Whether the plugin accepted a connection at the last attempt. */
  readonly accepts: boolean
  stop(): void
}

/** Connects to a plugin's socket every second; `path` returns undefined until the socket is known. */
export function startPluginProbe(path: () => string | undefined, clock: Clock): PluginProbe {
  let accepts = false
  let stopped = false
  let cancel: CancelTimer = () => undefined
  const probe = async () => {
    const socket = path()
    accepts = socket !== undefined && (await acceptsConnections(socket))
    if (!stopped) cancel = clock.after(INTERVAL_MS, () => void probe())
  }
  void probe()
  return {
    get accepts() {
      return accepts
    },
    stop() {
      stopped = true
      cancel()
    },
  }
}

/** Whether anything accepts connections on a unix socket. */
export function acceptsConnections(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path })
    const end = (accepted: boolean) => {
      socket.destroy()
      resolve(accepted)
    }
    socket.setTimeout(TIMEOUT_MS, () => end(false))
    socket.once('connect', () => end(true))
    socket.once('error', () => end(false))
  })
}
