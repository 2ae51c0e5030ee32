import {
  isIdentityFault,
  isOutage,
  isVaultSilent,
  type BridgeError,
  type ErrorCode,
} from '../errors.ts'

/** Longest reason in a Status answer; kube-apiserver copies it into its own health text. */
const MAX_REASON_LENGTH = 500

export type HealthReason = 'ok' | 'starting' | ErrorCode

export interface HealthState {
  readonly healthy: boolean
  /** For metrics and scripts. During the grace of an outage it is the outage's code, and `healthy` is true. */
  readonly reason: HealthReason
  /** For people: "ok" or a sentence. */
  readonly text: string
  /** When Vault began to fail, in milliseconds of Clock.monotonic; undefined while it works. */
  readonly failingSince?: number
  /** How much longer Status hides the failure; undefined if it does not. */
  readonly hiddenFor?: HiddenTime
}

export interface HiddenTime {
  readonly leftMs: number
  /** What sets this time. */
  readonly setting: 'kms.outageGrace' | 'kms.localKeys.offlineFor'
}

export interface HealthOptions {
  /** How long an outage may last before Status shows it. */
  readonly outageGraceMs: number
  /** Milliseconds for which local keys still encrypt without Vault; 0 if they do not. Undefined if kms.localKeys is off. */
  readonly offlineLeftMs?: (() => number) | undefined
  /** Why local keys are of no more help; undefined while they are, or if there were none. */
  readonly offlineNote?: (() => string | undefined) | undefined
}

/**
 * Whether the plugin can do its work (docs/design.md, "Status"). During an outage Status stays "ok" for the grace, so
 * that a leader election does not take every API server out of its load balancer; a refusal has no grace.
 */
export class Health {
  readonly #options: HealthOptions
  #proven = false
  #doubted = false
  #mayEncrypt = false
  #mayDecrypt = true
  #failure: { readonly error: BridgeError; readonly since: number } | undefined

  constructor(options: HealthOptions) {
    this.#options = options
  }

  /** Whether the next success must be a full proof: at the start, and after any failure. */
  get needsProof(): boolean {
    return !this.#proven || this.#doubted || this.#failure !== undefined
  }

  /**
   * Whether Encrypt may answer: only after a proof, because what a Vault that ignores AAD encrypts could not be decrypted
   * by a later Vault that does not. A proof that finds such a Vault, or a wrong plaintext, ends the permission.
   */
  get mayEncrypt(): boolean {
    return this.#mayEncrypt
  }

  /** Whether Decrypt may answer from Vault: not after a proof that showed a wrong plaintext, until another one passes. */
  get mayDecrypt(): boolean {
    return this.#mayDecrypt
  }

  /** The last failure of a check; undefined while Vault works. */
  get failure(): BridgeError | undefined {
    return this.#failure?.error
  }

  /**
   * A call failed in a way that may concern every call: the next success must be a full proof.
   * Returns whether a proof was already due.
   */
  doubt(): boolean {
    const wasDue = this.needsProof
    this.#doubted = true
    return wasDue
  }

  /** A proof succeeded. */
  prove(): void {
    this.#proven = true
    this.#doubted = false
    this.#mayEncrypt = true
    this.#mayDecrypt = true
    this.#failure = undefined
  }

  /**
   * An earlier process had a proof and local keys that may still be used; a new proof is due. Status is "ok" only if the keys
   * still encrypt; otherwise it shows the reason to an API server that starts.
   */
  restore(): void {
    this.#proven = this.#offlineLeftMs > 0
    this.#doubted = true
    this.#mayEncrypt = true
  }

  /** A check failed. Until a proof succeeds, `failingSince` remains the time of the first failure. */
  fail(error: BridgeError, now: number): void {
    this.#failure = { error, since: this.#failure?.since ?? now }
    const isWrong = error.code === 'PLAINTEXT_WRONG'
    if (isWrong) this.#mayDecrypt = false
    if (isWrong || error.code === 'AAD_IGNORED') this.#mayEncrypt = false
    // A refusal also ends the grace, which is only for a short outage.
    if (!isOutage(error) && !this.#servesWithout(error)) this.#proven = false
  }

  /** Whether local keys serve although Vault cannot be asked because there is no credential. */
  #servesWithout(error: BridgeError): boolean {
    return isIdentityFault(error) && this.#offlineLeftMs > 0
  }

  get #offlineLeftMs(): number {
    return this.#options.offlineLeftMs?.() ?? 0
  }

  /** Milliseconds until Status shows an outage without a further check; Infinity if that never happens. */
  graceLeft(now: number): number {
    if (this.#failure === undefined) return Infinity
    return this.#hiddenFor(this.#failure.since, now)?.leftMs ?? Infinity
  }

  state(now: number): HealthState {
    const failure = this.#failure
    if (failure === undefined) {
      return this.#proven
        ? { healthy: true, reason: 'ok', text: 'ok' }
        : {
            healthy: false,
            reason: 'starting',
            text: 'starting: Vault has not encrypted and decrypted a test value yet',
          }
    }
    const { error, since } = failure
    const hiddenFor = this.#hiddenFor(since, now)
    const known = { reason: error.code, failingSince: since }
    return hiddenFor === undefined
      ? { ...known, healthy: false, text: shorten(this.#explain(error)) }
      : { ...known, healthy: true, text: 'ok', hiddenFor }
  }

  #explain({ message }: BridgeError): string {
    const note = this.#options.offlineNote?.()
    return note === undefined ? message : `${message}; ${note}`
  }

  /** How much longer Status hides an outage that began at `since`; undefined if it does not. */
  #hiddenFor(since: number, now: number): HiddenTime | undefined {
    const graceMs = since + this.#options.outageGraceMs - now
    const offlineMs = this.#offlineLeftMs
    if (!this.#proven || Math.max(graceMs, offlineMs) <= 0) return undefined
    return offlineMs > graceMs
      ? { leftMs: offlineMs, setting: 'kms.localKeys.offlineFor' }
      : { leftMs: graceMs, setting: 'kms.outageGrace' }
  }
}

/** One line for a Status answer and for a terminal: no control characters, no half of a surrogate pair. */
function shorten(text: string): string {
  const line = text.replaceAll(/[\s\p{Cc}]+/gu, ' ').trim()
  if (line.length <= MAX_REASON_LENGTH) return line
  return `${line.slice(0, MAX_REASON_LENGTH - 1).replace(/[\ud800-\udbff]$/, '')}…`
}

/** What Vault does while calls work without it: it does not answer, or this host cannot ask it. */
export function describeSilence(reason: HealthReason): string {
  const isSilent = reason !== 'ok' && reason !== 'starting' && isVaultSilent({ code: reason })
  return isSilent ? 'does not answer' : 'cannot be asked'
}
