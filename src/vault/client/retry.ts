import type { CallContext } from '../../call-context.ts'
import { isOutage, isRefusal, type BridgeError, type ErrorCode } from '../../errors.ts'
import type { AddressBook } from './addresses/address-book.ts'
import type { AttemptFailure, Retry } from './attempt.ts'
import type { VaultOperation, VaultRequest } from './request.ts'

/** Maximum number of attempts without a wait in between. */
const MAX_ATTEMPTS_AT_ONCE = 3
/** All waits of one request that fails fast: a check must report an outage within its grace. */
const MAX_WAITED_FAST_MS = 2_000
/** How often one call waits if no failure can end without a change: enough to reach another node behind a balancer. */
const MAX_WAITS_ELSEWHERE = 2
/** The first wait lies between these two; each one after it is twice as long, up to the longest. */
const MIN_WAIT_MS = 50
const MAX_WAIT_MS = 250
/** Keeps callers from giving up long before their deadline because the next wait would not fit. */
const LONGEST_WAIT_MS = 500

/**
 * How often a request that may be slow is sent without an answer: a cluster of five nodes works while two of them hang, and each
 * time, a slow request is more work for Vault.
 */
const MAX_SLOW_SENDS = 3

/** See {@link RetryPlan}'s choice of the error to report. */
const RANKS = { misconfigured: 1, outage: 2, refusal: 3, proven: 3, callerGone: 7 }
const MISCONFIGURED: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'VAULT_ANSWER_INVALID',
  'VAULT_TLS_INVALID',
  'VAULT_REDIRECT_REFUSED',
])

/**
 * Decides where and when a request is tried again. Untried addresses come first and at once; all come again after a
 * wait with jitter, as the election of a leader takes seconds. An address that refused the request is not asked again.
 * Every operation may be repeated (encrypt, decrypt, reads, logins) except the revocation of a token, because Vault
 * denies the second one, and the rotation of a key, which would create two versions.
 */
export class RetryPlan {
  readonly #book: AddressBook
  readonly #random: () => number
  readonly #maxWaitedMs: number
  readonly #refusedAt = new Set<number>()
  #tried = new Set<number>()
  #index: number
  #attemptsAtOnce = 0
  #waits = 0
  #waitedMs = 0
  #silences = 0
  #reconnected = false
  #slowSends = 0
  /** How often this request may wait for failures other than a rate limit. */
  #maxWaits = 0
  #refusedByProven = false
  readonly #countsRefusals: boolean
  #onlyProven = false
  #ofOtherClusters: ReadonlySet<number> = new Set()
  #error: BridgeError | undefined
  #rank = 0

  /** `random` returns numbers from 0 up to, but not including, 1. */
  constructor(
    book: AddressBook,
    random: () => number,
    {
      failsFast,
      maxRetryWaitMs = Infinity,
      countsRefusals = false,
    }: Pick<CallContext, 'failsFast' | 'maxRetryWaitMs'> &
      Pick<VaultRequest, 'countsRefusals'> = {},
  ) {
    this.#book = book
    this.#random = random
    this.#maxWaitedMs = failsFast === true ? MAX_WAITED_FAST_MS : maxRetryWaitMs
    this.#countsRefusals = countsRefusals
    this.#index = book.current
  }

  /** The index of the address to try. */
  get index(): number {
    return this.#index
  }

  /** The failure to report if no answer comes: not always the last one. */
  get reason(): BridgeError | undefined {
    return this.#error
  }

  /** How long to wait for an answer; longer after each silence, in case Vault is only slow. */
  patienceFor(operation: VaultOperation): number {
    if (this.#slowSends === MAX_SLOW_SENDS - 1) return Infinity
    return this.#book.patienceFor(operation) * 2 ** this.#silences
  }

  /**
   * Records a failure and picks the next address. Returns how many milliseconds to wait before trying it, or the error
   * of the whole request when it is not tried again. `leftMs`: time until the caller's deadline.
   */
  next(failure: AttemptFailure, leftMs: number, repeatable: boolean): number | BridgeError {
    this.#attemptsAtOnce += 1
    this.#tried.add(this.#index)
    if (failure.error.code === 'VAULT_TIMEOUT') this.#silences += 1
    const retry = this.#retryOf(failure)
    const error = this.#choose(failure.error, retry)
    if (this.#isCounted(failure.error)) {
      this.#onlyProven = true
      // The next login starts at another address: this one may be a different Vault.
      if (!this.#book.isProven(this.#index)) this.#book.leave(this.#index)
    }
    if (retry === 'ask-others') this.#refusedAt.add(this.#index)
    if (retry === 'ask-others' && this.#book.isProven(this.#index)) this.#refusedByProven = true
    if (retry === 'soon' || retry === 'at-once') this.#maxWaits = Infinity
    if (retry === 'elsewhere') this.#maxWaits = Math.max(this.#maxWaits, MAX_WAITS_ELSEWHERE)
    const outlasts = retry === 'later' && this.#isTooLong(failure.waitMs ?? 0, leftMs)
    if (retry === 'soon' || retry === 'elsewhere' || outlasts) this.#book.leave(this.#index)
    if (!repeatable) return error
    const waitMs = outlasts ? this.#moveOn() : this.#move(retry, failure.waitMs)
    return waitMs === undefined || waitMs >= leftMs ? error : waitMs
  }

  /**
   * The addresses that refused a login, if this failure is a rejection that Vault counts, and no address is proven. Any of them may
   * be a different Vault.
   */
  rejectedBy({ error }: AttemptFailure): ReadonlySet<number> | undefined {
    if (!this.#isCounted(error) || this.#book.hasProven) return undefined
    return new Set([...this.#refusedAt, this.#index])
  }

  /** These addresses may be asked after a rejection that Vault counts, because they count apart. */
  countApart(indexes: ReadonlySet<number>): void {
    this.#ofOtherClusters = indexes
  }

  /** The address answered. One that refused the same request is a different Vault, and is not used again. */
  succeed(): void {
    if (this.#refusedAt.size === 0) return
    for (const index of this.#refusedAt) this.#book.disprove(index)
    this.#book.prefer(this.#index)
  }

  /** A Vault that was never proven may be a different one, without our data. */
  #retryOf({ error, retry }: AttemptFailure): Retry {
    if (this.#isCounted(error) && this.#book.isProven(this.#index)) return 'never'
    const isSuspect = isRefusal(error) && !this.#book.isProven(this.#index)
    return retry === 'never' && isSuspect ? 'ask-others' : retry
  }

  /** Nodes of one cluster share the count, so each address that is asked brings the lockout closer. */
  #isCounted({ code }: BridgeError): boolean {
    return this.#countsRefusals && code === 'VAULT_REJECTED'
  }

  #move(retry: Retry, waitMs: number | undefined): number | undefined {
    if (retry === 'never') return undefined
    if (retry === 'later') return this.#wait(waitMs)
    if (retry === 'sparingly') return this.#sendSparingly()
    if (retry === 'at-once' && !this.#reconnected) {
      this.#reconnected = true
      return 0
    }
    if (retry === 'at-once') this.#book.leave(this.#index)
    return this.#moveOn() ?? this.#startOver()
  }

  #sendSparingly(): number | undefined {
    this.#slowSends += 1
    if (this.#slowSends === MAX_SLOW_SENDS) return undefined
    return this.#moveOn() ?? this.#tryAllAgain()
  }

  /** To an address that was not tried, without a wait. */
  #moveOn(): number | undefined {
    const untried = this.#attemptsAtOnce < MAX_ATTEMPTS_AT_ONCE ? this.#untried() : undefined
    if (untried === undefined) return undefined
    this.#index = untried
    return 0
  }

  /** All addresses again, from the one in use, except those that refused the request. */
  #startOver(): number | undefined {
    if (this.#waits >= this.#maxWaits || this.#refusedByProven) return undefined
    return this.#tryAllAgain()
  }

  #tryAllAgain(): number | undefined {
    this.#tried = new Set(this.#refusedAt)
    const { current } = this.#book
    const next = this.#mayTry(current) ? current : this.#untried()
    if (next === undefined) return undefined
    this.#index = next
    return this.#wait(undefined)
  }

  /** Whether a wait that Vault asked for ends after the caller's deadline, or exceeds the limit of all waits. */
  #isTooLong(askedMs: number, leftMs: number): boolean {
    return askedMs >= leftMs || this.#waitedMs + askedMs > this.#maxWaitedMs
  }

  #wait(askedMs: number | undefined): number | undefined {
    if (this.#waitedMs >= this.#maxWaitedMs) return undefined
    const jitterMs = MIN_WAIT_MS + this.#random() * (MAX_WAIT_MS - MIN_WAIT_MS)
    const factor = Math.min(2 ** this.#waits, LONGEST_WAIT_MS / MAX_WAIT_MS)
    // A Retry-After of 0, or a date that has passed, must not cause requests without a wait.
    const waitMs = Math.max(askedMs ?? 0, jitterMs * factor)
    this.#waits += 1
    this.#waitedMs += waitMs
    this.#attemptsAtOnce = 0
    return waitMs
  }

  /** Proven addresses first, in the order of the configuration from the one in use. */
  #untried(): number | undefined {
    const { addresses, current } = this.#book
    const others = addresses
      .map((_, step) => (current + step) % addresses.length)
      .filter((index) => this.#mayTry(index))
    return others.find((index) => this.#book.isProven(index)) ?? others[0]
  }

  #mayTry(index: number): boolean {
    if (this.#tried.has(index)) return false
    if (!this.#onlyProven || this.#book.isProven(index)) return true
    return this.#ofOtherClusters.has(index)
  }

  /**
   * Chooses the error to report: the first one of the highest rank, or the last one if they are outages. A caller that
   * disconnected ranks highest, then errors of a proven address (refusals above outages), then errors of other addresses.
   * Neither a misconfigured address nor a deadline that passes meanwhile hides an outage of another address.
   */
  #choose(error: BridgeError, retry: Retry): BridgeError {
    const rank = this.#rankOf(error, retry)
    const isNewer = rank === this.#rank && isOutage(error)
    if (this.#error === undefined || rank > this.#rank || isNewer) {
      this.#error = error
      this.#rank = rank
    }
    return this.#error
  }

  #rankOf(error: BridgeError, retry: Retry): number {
    if (error.code === 'DEADLINE_EXCEEDED') return 0
    if (!isRefusal(error) && !isOutage(error)) return retry === 'never' ? RANKS.callerGone : 0
    const base = this.#book.isProven(this.#index) ? RANKS.proven : 0
    if (isRefusal(error)) return base + RANKS.refusal
    return base + (MISCONFIGURED.has(error.code) ? RANKS.misconfigured : RANKS.outage)
  }
}
