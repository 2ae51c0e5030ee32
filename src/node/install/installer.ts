import type { CancelTimer, Clock } from '../../time/clock.ts'
import { ConfigError, formatFault } from '../../yaml/fault.ts'
import { BridgeError } from '../../errors.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import type { IdentityMetrics } from '../../telemetry/metrics/roles.ts'
import type { NodeInstallOutcome } from './node-install.ts'

export interface InstallerOptions {
  /** Changes the host to its desired state. */
  readonly act: () => Promise<NodeInstallOutcome>
  /** The word in the log for each changed path. */
  readonly verb: 'written' | 'removed'
  /** How often `act` runs without a change. */
  readonly intervalMs: number
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Pick<IdentityMetrics, 'identityTokenExpiry'>
}

/** The result of the last attempt. */
export type InstallerState =
  | { readonly kind: 'starting' }
  | { readonly kind: 'done'; readonly outcome: NodeInstallOutcome }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }

export interface Installer {
  readonly state: InstallerState
  /** Acts now, after an attempt in progress. Never rejects: see state. */
  act(): Promise<void>
  /** Acts now and then at every interval, also after failures. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** Keeps the host in its desired state. A failure is logged once for each reason, and retried. */
export function createInstaller(options: InstallerOptions): Installer {
  const { clock, intervalMs, log } = options
  let state: InstallerState = { kind: 'starting' }
  let running = Promise.resolve()
  let cancel: CancelTimer = () => undefined
  let stopped = false

  const attempt = async () => {
    if (stopped) return
    try {
      const outcome = await options.act()
      if (state.kind === 'failed') log.info('the host is in its desired state again')
      reportOutcome(outcome, options)
      state = { kind: 'done', outcome }
    } catch (error) {
      const failure = describe(error)
      if (state.kind !== 'failed' || state.message !== failure.message)
        log.error({ [logKey.code]: failure.code }, failure.message)
      state = failure
    }
  }
  const act = () => (running = running.then(attempt))
  const scheduleNext = () => {
    cancel = clock.after(intervalMs, () => void act().then(scheduleNext))
    if (stopped) cancel()
  }
  return {
    get state() {
      return state
    },
    act,
    start: () => act().then(scheduleNext),
    stop() {
      stopped = true
      cancel()
      return running
    },
  }
}

function reportOutcome(
  { changed, tokenExpiresAt }: NodeInstallOutcome,
  options: InstallerOptions,
): void {
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
