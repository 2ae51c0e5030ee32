import { connect } from 'node:net'

import type { CancelTimer, Clock } from '../../time/clock.ts'

/** A living plugin accepts at once (milliseconds). */
const PATIENCE = 1_000
const INTERVAL = 1_000

export interface PluginProbe {
  /** Whether the plugin accepted when it was last tried. */
  readonly accepts: boolean
  stop(): void
}

/** Tries a plugin's socket each second; `path` gives nothing as long as it is not known. */
export function startPluginProbe(path: () => string | undefined, clock: Clock): PluginProbe {
  let accepts = false
  let stopped = false
  let cancel: CancelTimer = () => undefined
  const probe = async () => {
    const socket = path()
    accepts = socket !== undefined && (await acceptsConnections(socket))
    if (!stopped) cancel = clock.after(INTERVAL, () => void probe())
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
    socket.setTimeout(PATIENCE, () => end(false))
    socket.once('connect', () => end(true))
    socket.once('error', () => end(false))
  })
}
