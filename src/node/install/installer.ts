import type { CancelTimer, Clock } from '../../time/clock.ts'
import { ConfigError, formatFault } from '../../yaml/fault.ts'
import { BridgeError } from '../../errors.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import type { NodeInstallOutcome } from './node-install.ts'

export interface InstallerOptions {
  /** Makes the host as it shall be. */
  readonly act: () => Promise<NodeInstallOutcome>
  /** What the log says of each path that changed. */
  readonly verb: 'written' | 'removed'
  /** How often it is done without a reason (milliseconds). */
  readonly interval: number
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Pick<Metrics, 'identityTokenExpiry'>
}

/** How the last attempt ended. */
export type InstallerState =
  | { readonly kind: 'starting' }
  | { readonly kind: 'done'; readonly outcome: NodeInstallOutcome }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }

export interface Installer {
  readonly state: InstallerState
  /** Acts now; one that is under way is waited for first. Never rejects: see state. */
  act(): Promise<void>
  /** Acts now and from then on at every interval, also after failures. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** Keeps the host as it shall be. What fails is logged once for each reason, and tried again. */
export function createInstaller(options: InstallerOptions): Installer {
  const { clock, interval, log } = options
  let state: InstallerState = { kind: 'starting' }
  let running = Promise.resolve()
  let cancel: CancelTimer = () => undefined
  let stopped = false

  const attempt = async () => {
    if (stopped) return
    try {
      const outcome = await options.act()
      if (state.kind === 'failed') log.info('the host is as it shall be again')
      tell(outcome, options)
      state = { kind: 'done', outcome }
    } catch (error) {
      const failure = describe(error)
      if (state.kind !== 'failed' || state.message !== failure.message)
        log.error({ [logKey.code]: failure.code }, failure.message)
      state = failure
    }
  }
  const act = () => (running = running.then(attempt))
  const again = () => {
    cancel = clock.after(interval, () => void act().then(again))
    if (stopped) cancel()
  }
  return {
    get state() {
      return state
    },
    act,
    start: () => act().then(again),
    stop() {
      stopped = true
      cancel()
      return running
    },
  }
}

function tell({ changed, tokenExpiresAt }: NodeInstallOutcome, options: InstallerOptions): void {
  const { log, verb, metrics } = options
  for (const path of changed) log.info(`${path}: ${verb}`)
  if (tokenExpiresAt !== undefined) metrics.identityTokenExpiry.set(tokenExpiresAt / 1000)
}

function describe(thrown: unknown): Extract<InstallerState, { kind: 'failed' }> {
  if (thrown instanceof ConfigError) {
    const message = thrown.faults.map((fault) => formatFault(thrown.file, fault)).join('; ')
    return { kind: 'failed', code: 'CONFIG_INVALID', message }
  }
  const { code, message } = BridgeError.from(thrown)
  return { kind: 'failed', code, message }
}
