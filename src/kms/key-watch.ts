import type { CallContext } from '../call-context.ts'
import type { CancelTimer, Clock } from '../time/clock.ts'
import { BridgeError, isRefusal } from '../errors.ts'
import { logKey, type Logger } from '../telemetry/log.ts'
import type { KmsMetrics } from '../telemetry/metrics/roles.ts'
import { requireWrappingKey, type TransitKey } from '../transit/key.ts'
import { waitWithin } from '../time/bounded-wait.ts'
import { CHECK_TIMEOUT_MS, CheckContext, logCheck } from './check-context.ts'
import { HealthLog } from './health-log.ts'
import type { Health } from './health.ts'
import { hashKeyId } from '../seed/key-id.ts'
import type { LocalSealing } from './local/sealing.ts'
import { makeSnapshot, type ClusterIds, type KeySnapshot } from '../seed/key-snapshot.ts'
import { StepBack } from './step-back.ts'

/** Wait after the first failed check. It doubles up to the longest, so that Vault's return is noticed within seconds. */
const FIRST_RETRY_DELAY_MS = 250
const LONGEST_RETRY_DELAY_MS = 4_000
/** Part of the refresh interval after which the next read starts, so that it ends within the interval. */
const REFRESH_SHARE = 0.95
/** With local keys, calls do not show whether Vault still allows the use of the key; only a proof does. */
const LOCAL_PROOF_INTERVAL_MS = 300_000
/** Longest time to ask whether a node is a standby. */
const LEADER_TIMEOUT_MS = 2_000
/** Minimum time between checks that the data path requests. */
const MIN_CHECK_GAP_MS = 1_000
const CHECKED = 'key checked'

export interface KeyWatchOptions {
  /** Reads the key; a node that shows only versions before `knownVersion` is left. */
  readonly readKey: (context: CallContext, knownVersion: number) => Promise<TransitKey>
  /** Whether the node that answers is a standby, which may lag behind its leader. Default: it is not. */
  readonly isStandby?: ((context: CallContext) => Promise<boolean>) | undefined
  /** Throws if the announced key version cannot be used; the error says why (KeyProof). */
  readonly proveKey: (snapshot: KeySnapshot, context: CallContext) => Promise<void>
  readonly clusters: ClusterIds
  /** Time between reads of the key's metadata while Vault works. */
  readonly refreshIntervalMs: number
  readonly health: Health
  /** Called after each check that passed, with the context of its requests: the address that answered them has the key. */
  readonly onProven?: ((context: CallContext) => void) | undefined
  /** Called after that, to prove other addresses with what the requests of `proven` used. */
  readonly proveOthers?: ((proven: CallContext, context: CallContext) => Promise<void>) | undefined
  /** Called when Vault refuses, as opposed to not answering. */
  readonly onRefusal: (error: BridgeError) => void
  /** With kms.localKeys: receives what Vault decides. */
  readonly localKeys?:
    Pick<LocalSealing, 'prepare' | 'announce' | 'agree' | 'missVault'> | undefined
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Pick<KmsMetrics, 'keyVersion' | 'keyInfo' | 'keyRotationsSeen'>
}

/**
 * Keeps the snapshot of the key fresh, and is the only part that decides on health (docs/design.md, "Status"): a fault of
 * the data path makes it check at once, and Status reports what the check finds.
 */
export class KeyWatch {
  readonly #options: KeyWatchOptions
  readonly #healthLog: HealthLog
  readonly #stepBack: StepBack
  #snapshot: KeySnapshot | undefined
  #checking: Promise<void> | undefined
  /** The outage because of which the check in progress tries again. */
  #obstacle: BridgeError | undefined
  #lastError: BridgeError | undefined
  /** The newest version that a caller of {@link refresh} has met. */
  #wantedVersion = 0
  #checkedAt = -Infinity
  #provenAt = -Infinity
  #failures = 0
  #cancelTimer: CancelTimer | undefined
  #stopped = false

  constructor(options: KeyWatchOptions) {
    this.#options = options
    this.#healthLog = new HealthLog(options.log, options.clock)
    this.#stepBack = new StepBack(options.log)
  }

  /** What is known about the key; undefined until Vault was reached once. */
  get snapshot(): KeySnapshot | undefined {
    return this.#snapshot
  }

  /** Announces what an earlier process knew about the key (kms.localKeys.sealedFile). Call it before {@link start}. */
  restore(snapshot: KeySnapshot): void {
    this.#adopt(snapshot)
    this.#options.health.restore()
  }

  /** Starts to watch, without waiting for Vault (docs/design.md, "Start and stop"). */
  start(): void {
    void this.#check()
  }

  stop(): void {
    this.#stopped = true
    this.#cancelTimer?.()
  }

  /** Returns the snapshot. Waits for the first one until the caller's deadline; throws the reason if there is none. */
  async current(context: CallContext): Promise<KeySnapshot> {
    return this.#snapshot ?? this.#refreshUnlessJustFailed(context)
  }

  /** The snapshot to encrypt under; undefined until a proof permits it (Health.mayEncrypt). */
  get snapshotForEncrypt(): KeySnapshot | undefined {
    return this.#options.health.mayEncrypt ? this.#snapshot : undefined
  }

  /** Returns the snapshot to encrypt under: like {@link current}, but only after a proof. */
  async currentForEncrypt(context: CallContext): Promise<KeySnapshot> {
    const { health } = this.#options
    const known = this.snapshotForEncrypt
    if (known !== undefined) return known
    const snapshot = await this.#refreshUnlessJustFailed(context)
    if (health.mayEncrypt) return snapshot
    throw this.#lastError ?? notAnswered()
  }

  /**
   * Returns a snapshot that was read after this call began. All concurrent calls together cost two reads at most. If a node does
   * not know `wantedVersion` yet, later requests start at another one.
   */
  async refresh(context: CallContext, wantedVersion = 0): Promise<KeySnapshot> {
    // The check in progress may have read the key before the change that made the caller ask.
    if (this.#checking !== undefined) await this.#await(this.#checking, context)
    const before = this.#snapshot
    this.#wantedVersion = Math.max(this.#wantedVersion, wantedVersion)
    await this.#await(this.#check(), context)
    if (this.#snapshot === undefined || this.#snapshot === before) {
      throw this.#lastError ?? notAnswered()
    }
    return this.#snapshot
  }

  /** Like {@link refresh}, but returns the known snapshot if it is younger than `ageMs`. */
  async refreshIfOlderThan(
    ageMs: number,
    context: CallContext,
    wantedVersion = 0,
  ): Promise<KeySnapshot> {
    const known = this.#snapshot
    const isYoung = known !== undefined && this.#options.clock.monotonic() - known.takenAt < ageMs
    return isYoung ? known : this.refresh(context, wantedVersion)
  }

  /**
   * Something happened that may concern every call: check at once, but at most once a second. Returns false if the last check
   * failed, because the next one then follows anyway.
   */
  suspect(): boolean {
    const { clock, health } = this.#options
    // Also during a check, because its proof may be over. No second check starts before that one ends.
    if (!health.doubt())
      this.#schedule(Math.max(0, this.#checkedAt + MIN_CHECK_GAP_MS - clock.monotonic()))
    return health.failure === undefined
  }

  /** Callers that wait for the first snapshot or proof must not repeat a request that Vault has just refused. */
  async #refreshUnlessJustFailed(context: CallContext): Promise<KeySnapshot> {
    const isRecent = this.#options.clock.monotonic() - this.#checkedAt < FIRST_RETRY_DELAY_MS
    if (this.#lastError !== undefined && isRecent) throw this.#lastError
    return this.refresh(context)
  }

  /** For a caller, an outage explains more than a deadline that passed meanwhile. */
  async #await(check: Promise<void>, context: CallContext): Promise<void> {
    try {
      await waitWithin(check, context, this.#options.clock, 'Vault')
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      throw error.code === 'DEADLINE_EXCEEDED' ? (this.#obstacle ?? error) : error
    }
  }

  #check(): Promise<void> {
    this.#checking ??= this.#checkOnce().finally(() => {
      this.#checking = undefined
    })
    return this.#checking
  }

  async #checkOnce(): Promise<void> {
    const { clock, health, refreshIntervalMs } = this.#options
    const startedAt = clock.monotonic()
    const context = new CheckContext(startedAt, (reason) => {
      this.#obstacle = reason
    })
    this.#obstacle = undefined
    this.#cancelTimer?.()
    try {
      await this.#readKey(context)
      if (this.#needsProof) await this.#prove(context)
      await this.#prepareLocalKey(this.#snapshot, context)
      if (!health.needsProof) {
        this.#options.onProven?.(context)
        void this.#proveOthers(context)
        this.#options.localKeys?.agree()
      }
      this.#lastError = undefined
      this.#failures = 0
      this.#schedule(health.needsProof ? MIN_CHECK_GAP_MS : refreshIntervalMs * REFRESH_SHARE)
    } catch (thrown) {
      this.#fail(toHealthError(thrown), startedAt)
    }
    this.#checkedAt = clock.monotonic()
    logCheck(this.#options.log, context, this.#lastError?.code ?? 'OK', CHECKED)
    const state = health.state(this.#checkedAt)
    this.#healthLog.report(state, this.#lastError?.message ?? state.text, this.#checkedAt)
  }

  get #needsProof(): boolean {
    const { health, localKeys, clock } = this.#options
    const isLong = clock.monotonic() - this.#provenAt >= LOCAL_PROOF_INTERVAL_MS
    // If Vault shows an older key, only an Encrypt distinguishes a lagging standby from a restored backup.
    return health.needsProof || this.#stepBack.isSeen || (localKeys !== undefined && isLong)
  }

  /** Asked only while Vault shows an older key and refuses the known version. */
  async #isStandby(): Promise<boolean> {
    if (!this.#stepBack.isSeen) return false
    // Vault does not audit this request, so it is not counted.
    const context = { deadline: this.#options.clock.monotonic() + LEADER_TIMEOUT_MS }
    return (await this.#options.isStandby?.(context).catch(() => false)) ?? false
  }

  /** Other addresses cost nothing that a caller waits for. */
  async #proveOthers(proven: CallContext): Promise<void> {
    const context = new CheckContext(this.#options.clock.monotonic())
    await this.#options.proveOthers?.(proven, context)
    if (context.requests > 0) logCheck(this.#options.log, context, 'OK', CHECKED)
  }

  async #prepareLocalKey(snapshot: KeySnapshot | undefined, context: CallContext): Promise<void> {
    if (snapshot !== undefined) await this.#options.localKeys?.prepare(snapshot, context)
  }

  async #readKey(context: CallContext): Promise<void> {
    const { readKey, clusters, clock } = this.#options
    const known = this.#snapshot
    const knownVersion = Math.max(known?.keyVersion ?? 0, this.#wantedVersion)
    this.#wantedVersion = 0
    const key = await readKey(context, knownVersion)
    requireWrappingKey(key)
    const next = makeSnapshot(key, clusters, clock.monotonic())
    if (known === undefined || this.#stepBack.accepts(known, next))
      await this.#announce(next, context)
    else this.#snapshot = { ...known, takenAt: next.takenAt }
  }

  async #prove(context: CallContext): Promise<void> {
    const { proveKey, health, clock } = this.#options
    if (this.#snapshot === undefined) return
    try {
      await proveKey(this.#snapshot, context)
    } catch (error) {
      // The leader may be behind an address that did not answer, while a standby that lags did.
      const mayLag = this.#obstacle !== undefined || (await this.#isStandby())
      const older = mayLag ? undefined : this.#stepBack.confirm(error, clock.monotonic())
      if (older === undefined) throw error
      await this.#announce(older, context)
      await proveKey(older, context)
    }
    health.prove()
    this.#provenAt = clock.monotonic()
  }

  #fail(error: BridgeError, startedAt: number): void {
    const { health, clock } = this.#options
    health.fail(error, startedAt)
    this.#lastError = error
    if (isRefusal(error)) this.#options.onRefusal(error)
    else this.#options.localKeys?.missVault()
    const delayMs = Math.min(FIRST_RETRY_DELAY_MS * 2 ** this.#failures, LONGEST_RETRY_DELAY_MS)
    // The log reports the end of the grace when Status does.
    this.#schedule(Math.min(delayMs, health.graceLeft(clock.monotonic())))
    this.#failures += 1
  }

  #schedule(delayMs: number): void {
    this.#cancelTimer?.()
    if (this.#stopped) return
    this.#cancelTimer = this.#options.clock.after(delayMs, () => void this.#check())
  }

  /** Creates the local key first: no call may find a key id that it cannot use yet. */
  async #announce(next: KeySnapshot, context: CallContext): Promise<void> {
    await this.#prepareLocalKey(next, context)
    this.#adopt(next)
    this.#options.localKeys?.announce(next)
  }

  #adopt(next: KeySnapshot): void {
    const known = this.#snapshot
    this.#snapshot = next
    if (known?.keyId === next.keyId) return
    const { log, metrics } = this.#options
    metrics.keyVersion.set(next.keyVersion)
    metrics.keyInfo.reset()
    metrics.keyInfo.set(
      { key_id_hash: hashKeyId(next.keyId), key_version: String(next.keyVersion) },
      1,
    )
    if (known !== undefined) metrics.keyRotationsSeen.inc()
    log.info(
      { [logKey.keyVersion]: next.keyVersion, [logKey.keyId]: next.keyId },
      known === undefined
        ? `announcing version ${String(next.keyVersion)} of the key`
        : `the key changed in Vault: announcing version ${String(next.keyVersion)} instead of ${String(known.keyVersion)}`,
    )
  }
}

function notAnswered(): BridgeError {
  return new BridgeError('VAULT_UNAVAILABLE', 'Vault has not answered yet')
}

/** A check that ran out of time shows only that Vault did not answer. */
function toHealthError(thrown: unknown): BridgeError {
  const error = BridgeError.from(thrown)
  if (error.code !== 'DEADLINE_EXCEEDED') return error
  return new BridgeError(
    'VAULT_TIMEOUT',
    `Vault did not answer within ${String(CHECK_TIMEOUT_MS / 1000)} s`,
    { cause: error },
  )
}
