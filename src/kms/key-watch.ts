import { randomUUID } from 'node:crypto'
import type { CallContext } from '../call-context.ts'
import type { CancelTimer, Clock } from '../time/clock.ts'
import { BridgeError, isRefusal } from '../errors.ts'
import { logKey, type Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import {
  isStepBack,
  requireWrappingKey,
  STEP_BACK_PATIENCE,
  type TransitKey,
} from '../transit/key.ts'
import { waitWithin } from '../time/bounded-wait.ts'
import { HealthLog } from './health-log.ts'
import type { Health } from './health.ts'
import { makeSnapshot, type ClusterIds, type KeySnapshot } from '../seed/key-snapshot.ts'

/** Longest time of one check: read the key, and where a proof is due, encrypt and decrypt. */
const CHECK_TIMEOUT = 8_000
/** Wait after the first check that fails; doubled up to the longest, so Vault's return is seen within 10 s. */
const FIRST_RETRY_DELAY = 250
const LONGEST_RETRY_DELAY = 4_000
/** Part of the refresh interval that is waited, so that a read is done within it. */
const REFRESH_SHARE = 0.95
/** Checks that the data path asks for are at least this far apart. */
const MIN_CHECK_GAP = 1_000

export interface KeyWatchOptions {
  readonly readKey: (context: CallContext) => Promise<TransitKey>
  /** Encrypts and decrypts something with the announced version; throws why that does not work. */
  readonly proveKey: (snapshot: KeySnapshot, context: CallContext) => Promise<void>
  readonly clusters: ClusterIds
  /** Milliseconds between reads of the key's metadata while all is well. */
  readonly refreshInterval: number
  readonly health: Health
  /** Called after each check that passed: the address of Vault that is in use serves this key. */
  readonly onProven?: (() => void) | undefined
  /** Told when Vault says no, as opposed to not answering. */
  readonly onRefusal: (error: BridgeError) => void
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Pick<Metrics, 'keyVersion' | 'keyRotationsSeen'>
}

/**
 * Keeps the snapshot of the key fresh and decides about health. It is the only judge of health: faults of
 * the data path make it look at once, and what it finds is what Status says.
 */
export class KeyWatch {
  readonly #options: KeyWatchOptions
  readonly #healthLog: HealthLog
  #snapshot: KeySnapshot | undefined
  #checking: Promise<void> | undefined
  #lastError: BridgeError | undefined
  #checkedAt = -Infinity
  #failures = 0
  #stepBackSince: number | undefined
  #cancelTimer: CancelTimer | undefined
  #stopped = false

  constructor(options: KeyWatchOptions) {
    this.#options = options
    this.#healthLog = new HealthLog(options.log)
  }

  /** What is known of the key; undefined until Vault was reached once. */
  get snapshot(): KeySnapshot | undefined {
    return this.#snapshot
  }

  /** Begins to watch, without waiting for Vault (design §2.7). */
  start(): void {
    void this.#check()
  }

  stop(): void {
    this.#stopped = true
    this.#cancelTimer?.()
  }

  /** The snapshot, waiting for the first one within the caller's deadline; throws why there is none. */
  async current(context: CallContext): Promise<KeySnapshot> {
    if (this.#snapshot !== undefined) return this.#snapshot
    // Callers that wait for the first snapshot must not ask a Vault that refuses connections over and over.
    const isRecent = this.#options.clock.monotonic() - this.#checkedAt < FIRST_RETRY_DELAY
    if (this.#lastError !== undefined && isRecent) throw this.#lastError
    return this.refresh(context)
  }

  /** A snapshot that Vault gave after this call began. Calls at the same time cost two reads at most. */
  async refresh(context: CallContext): Promise<KeySnapshot> {
    const { clock } = this.#options
    // A check under way may have read the key before the caller learnt what made it ask.
    if (this.#checking !== undefined) await waitWithin(this.#checking, context, clock, 'vault')
    const before = this.#snapshot
    await waitWithin(this.#check(), context, clock, 'vault')
    if (this.#snapshot === undefined || this.#snapshot === before) {
      throw this.#lastError ?? new BridgeError('VAULT_UNAVAILABLE', 'vault has not answered yet')
    }
    return this.#snapshot
  }

  /** Like {@link refresh}, but takes what is known if that is younger than `age` milliseconds. */
  async refreshIfOlderThan(age: number, context: CallContext): Promise<KeySnapshot> {
    const known = this.#snapshot
    const isYoung = known !== undefined && this.#options.clock.monotonic() - known.takenAt < age
    return isYoung ? known : this.refresh(context)
  }

  /** The data path met a fault that may concern every call: look at once, but not more than once a second. */
  suspect(): void {
    const { clock, health } = this.#options
    if (health.doubt()) return
    // Also while a check is under way: it may be past its proof. Until it ends the timer starts no second one.
    this.#schedule(Math.max(0, this.#checkedAt + MIN_CHECK_GAP - clock.monotonic()))
  }

  #check(): Promise<void> {
    this.#checking ??= this.#checkOnce().finally(() => {
      this.#checking = undefined
    })
    return this.#checking
  }

  async #checkOnce(): Promise<void> {
    const { clock, health, refreshInterval } = this.#options
    const startedAt = clock.monotonic()
    const context = { deadline: startedAt + CHECK_TIMEOUT, uid: `check-${randomUUID()}` }
    this.#cancelTimer?.()
    try {
      await this.#readKey(context)
      if (health.needsProof) await this.#prove(context)
      if (!health.needsProof) this.#options.onProven?.()
      this.#lastError = undefined
      this.#failures = 0
      this.#schedule(health.needsProof ? MIN_CHECK_GAP : refreshInterval * REFRESH_SHARE)
    } catch (thrown) {
      this.#fail(toHealthError(thrown), startedAt)
    }
    this.#checkedAt = clock.monotonic()
    const state = health.state(this.#checkedAt)
    this.#healthLog.report(state, this.#lastError?.message ?? state.text, this.#checkedAt)
  }

  async #readKey(context: CallContext): Promise<void> {
    const { readKey, clusters, clock } = this.#options
    const key = await readKey(context)
    requireWrappingKey(key)
    this.#accept(makeSnapshot(key, clusters, clock.monotonic()))
  }

  async #prove(context: CallContext): Promise<void> {
    if (this.#snapshot === undefined) return
    await this.#options.proveKey(this.#snapshot, context)
    this.#options.health.prove()
  }

  #fail(error: BridgeError, startedAt: number): void {
    const { health, clock } = this.#options
    health.fail(error, startedAt)
    this.#lastError = error
    if (isRefusal(error)) this.#options.onRefusal(error)
    const delay = Math.min(FIRST_RETRY_DELAY * 2 ** this.#failures, LONGEST_RETRY_DELAY)
    // The log says that the grace is over when Status does.
    this.#schedule(Math.min(delay, health.graceLeft(clock.monotonic())))
    this.#failures += 1
  }

  #schedule(delay: number): void {
    this.#cancelTimer?.()
    if (this.#stopped) return
    this.#cancelTimer = this.#options.clock.after(delay, () => void this.#check())
  }

  #accept(next: KeySnapshot): void {
    const known = this.#snapshot
    if (
      known !== undefined &&
      isStepBack(known.key, next.key) &&
      !this.#believesStepBack(next.takenAt)
    ) {
      this.#snapshot = { ...known, takenAt: next.takenAt }
      return
    }
    this.#stepBackSince = undefined
    this.#snapshot = next
    if (known?.keyId !== next.keyId) this.#announce(known, next)
  }

  #believesStepBack(now: number): boolean {
    this.#stepBackSince ??= now
    return now - this.#stepBackSince >= STEP_BACK_PATIENCE
  }

  #announce(known: KeySnapshot | undefined, next: KeySnapshot): void {
    const { log, metrics } = this.#options
    metrics.keyVersion.set(next.keyVersion)
    if (known !== undefined) metrics.keyRotationsSeen.inc()
    log.info(
      { [logKey.keyVersion]: next.keyVersion, [logKey.keyId]: next.keyId },
      known === undefined
        ? `announcing version ${String(next.keyVersion)} of the key`
        : `key changed in vault: announcing version ${String(next.keyVersion)} instead of ${String(known.keyVersion)}`,
    )
  }
}

/** A check that ran out of time says nothing but that Vault did not answer. */
function toHealthError(thrown: unknown): BridgeError {
  const error = BridgeError.from(thrown)
  if (error.code !== 'DEADLINE_EXCEEDED') return error
  return new BridgeError(
    'VAULT_TIMEOUT',
    `vault did not answer within ${String(CHECK_TIMEOUT / 1000)} s`,
    { cause: error },
  )
}
