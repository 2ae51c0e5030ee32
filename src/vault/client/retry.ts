import { isOutage, type BridgeError } from '../../errors.ts'
import type { AddressBook } from './address-book.ts'
import type { AttemptFailure } from './attempt.ts'

/** Requests of one call at most, so that many callers do not hammer a Vault that comes back. */
const MAX_ATTEMPTS = 3
const MIN_WAIT_MS = 50
const MAX_WAIT_MS = 250

/**
 * Decides where and when one call is tried again. Untried addresses come first and at once; the same address comes
 * again after a short wait with jitter. Every operation may be repeated (encrypt, decrypt, reads, logins) but
 * the revocation of a token, of which a second one is denied.
 */
export class RetryPlan {
  readonly #book: AddressBook
  readonly #random: () => number
  readonly #tried = new Set<number>()
  #index: number
  #attempts = 0
  #reconnected = false
  #error: BridgeError | undefined

  /** `random` gives numbers from 0 to below 1. */
  constructor(book: AddressBook, random: () => number) {
    this.#book = book
    this.#random = random
    this.#index = book.current
  }

  /** The index of the address to try. */
  get index(): number {
    return this.#index
  }

  /**
   * Takes note of a failure and picks the next address. Returns how many milliseconds to wait before it, or the error of
   * the whole call when it is not tried again. `leftMs`: time until the caller's deadline.
   */
  next(failure: AttemptFailure, leftMs: number, repeatable: boolean): number | BridgeError {
    this.#attempts += 1
    this.#tried.add(this.#index)
    this.#error = tellMost(this.#error, failure)
    if (failure.retry === 'soon' || failure.retry === 'elsewhere') this.#book.leave(this.#index)
    const waitMs = repeatable ? this.#move(failure) : undefined
    return waitMs === undefined || waitMs >= leftMs ? this.#error : waitMs
  }

  #move(failure: AttemptFailure): number | undefined {
    if (failure.retry === 'never' || this.#attempts >= MAX_ATTEMPTS) return undefined
    if (failure.retry === 'later') return failure.waitMs ?? this.#jitter()
    if (failure.retry === 'at-once' && !this.#reconnected) {
      this.#reconnected = true
      return 0
    }
    if (failure.retry === 'at-once') this.#book.leave(this.#index)
    const untried = this.#untried()
    if (untried !== undefined) {
      this.#index = untried
      return 0
    }
    if (failure.retry === 'elsewhere') return undefined
    this.#index = this.#book.current
    return this.#jitter()
  }

  #untried(): number | undefined {
    const { addresses, current } = this.#book
    for (let step = 0; step < addresses.length; step += 1) {
      const index = (current + step) % addresses.length
      if (!this.#tried.has(index)) return index
    }
    return undefined
  }

  #jitter(): number {
    return MIN_WAIT_MS + this.#random() * (MAX_WAIT_MS - MIN_WAIT_MS)
  }
}

/**
 * The error that says why a call failed. Once one address had an outage, that is the reason: another address that is
 * merely wrong (its certificate, say), or the deadline that passed meanwhile, does not make it a refusal. What Vault
 * itself answered in the end, and a caller that went away, stand above that.
 */
function tellMost(before: BridgeError | undefined, failure: AttemptFailure): BridgeError {
  const { error, retry } = failure
  if (before === undefined || !isOutage(before) || isOutage(error)) return error
  const final = retry === 'never' && error.code !== 'DEADLINE_EXCEEDED'
  return final ? error : before
}
