import type { BridgeError } from '../../errors.ts'
import type { AddressBook } from './addresses/address-book.ts'
import type { AttemptFailure } from './attempt.ts'
import type { VaultOperation, VaultRequest } from './request.ts'

/** How long an address must be silent to be left, if the caller's deadline ends the attempt before `vault.timeout`. */
const SILENCE_MS = 1_000

/** Writes of an operator, which may take long, and of which the second may be refused (a mount that exists). */
const CHANGES: ReadonlySet<VaultOperation> = new Set(['write_setting', 'remove_setting'])

/** Vault denies the second revocation of a token. */
export function isRepeatable({ operation, isSentOnce = false }: VaultRequest): boolean {
  return operation !== 'revoke_token' && !isSentOnce
}

/** Whether a request may leave a silent address, and so be sent twice, before its time is up. */
export function mayLeave(request: VaultRequest): boolean {
  return isRepeatable(request) && !CHANGES.has(request.operation)
}

/** What the time that requests take says about the addresses. A request of a pod may be slow, so its time says little. */
export class Slowness {
  readonly #book: AddressBook
  readonly #timeoutMs: number

  constructor(book: AddressBook, timeoutMs: number) {
    this.#book = book
    this.#timeoutMs = timeoutMs
  }

  /** Some address answered after this time. */
  answered({ operation, passesOn = false }: VaultRequest, tookMs: number): void {
    // Otherwise others would wait longer for a silent address.
    if (!passesOn || tookMs < this.#timeoutMs) this.#book.noteAnswer(operation, tookMs)
  }

  /** The caller's deadline passed while this address was silent. */
  expired({ passesOn = false }: VaultRequest, index: number, silentMs: number): void {
    // Otherwise callers with deadlines shorter than the timeout would return to a dead address forever.
    if (!passesOn && silentMs >= Math.min(this.#timeoutMs / 2, SILENCE_MS)) this.#book.leave(index)
  }
}

/** The silence that a request met which may itself be slow. */
export class MetSilence {
  readonly #book: AddressBook
  readonly #patienceMs: number
  #error: BridgeError | undefined

  /** `patienceMs`: how long the first try waits. */
  constructor(book: AddressBook, patienceMs: number) {
    this.#book = book
    this.#patienceMs = patienceMs
  }

  failed({ retry, error }: AttemptFailure): void {
    if (retry === 'sparingly') this.#error = error
  }

  /** If another address answers at once, the request is not slow, so the one that was silent is. */
  answered(index: number, tookMs: number): void {
    if (this.#error !== undefined && tookMs < this.#patienceMs) this.#book.prefer(index)
  }

  /** Whether this error says only that the request may be slow. */
  isBehind(error: BridgeError): boolean {
    return error === this.#error
  }
}
