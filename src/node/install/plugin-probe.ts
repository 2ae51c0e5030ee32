import { pingSocket } from '../../grpc/liveness.ts'
import type { CancelTimer, Clock } from '../../time/clock.ts'

/** A running plugin answers immediately. */
const TIMEOUT_MS = 1_000
const INTERVAL_MS = 1_000

export interface PluginProbe {
  /** Whether the plugin answered at the last attempt. */
  readonly answers: boolean
  stop(): void
}

/** Asks for an answer at a plugin's socket every second; `path` returns undefined until the socket is known. */
export function startPluginProbe(
  path: () => Promise<string | undefined>,
  clock: Clock,
): PluginProbe {
  let answered = false
  let stopped = false
  let cancel: CancelTimer = () => undefined
  const probe = async () => {
    const socket = await path().catch(() => undefined)
    answered = socket !== undefined && (await answers(socket))
    if (!stopped) cancel = clock.after(INTERVAL_MS, () => void probe())
  }
  void probe()
  return {
    get answers() {
      return answered
    },
    stop() {
      stopped = true
      cancel()
    },
  }
}

async function answers(socket: string): Promise<boolean> {
  return pingSocket(socket, TIMEOUT_MS).then(
    () => true,
    () => false,
  )
}
