import type { CallContext } from '../../../call-context.ts'
import { BridgeError, isOutage, isRefusal } from '../../../errors.ts'
import { Secret } from '../../../secret.ts'
import type { AddressBook } from './address-book.ts'
import { AttemptFailure, type Outcome } from '../attempt.ts'
import type { VaultRequest, VaultRequester } from '../request.ts'

/** How long after an address was not recognized in advance it is tried again. */
const RETRY_MS = 30_000

/**
 * Whether the Vault behind a requester holds the data that the proven addresses hold. Throws what the requester
 * throws.
 */
export type AddressCheck = (vault: VaultRequester, context: CallContext) => Promise<boolean>

/** Sends a request once to the address with this index. */
export type Sender = (
  request: VaultRequest,
  context: CallContext,
  index: number,
  patienceMs: number,
) => Promise<Outcome>

/**
 * Keeps requests away from a different Vault behind one of several addresses (docs/design.md, "Addresses"). Before an
 * address that was not proven is used in place of one that was, it must show that it holds the same key: otherwise a
 * DR site with a key of the same name would encrypt data that the proven Vault can never decrypt.
 */
export class Recognition {
  readonly #book: AddressBook
  readonly #check: AddressCheck
  readonly #send: Sender
  readonly #triedAt = new Map<number, number>()

  constructor(book: AddressBook, check: AddressCheck, send: Sender) {
    this.#book = book
    this.#check = check
    this.#send = send
  }

  /** Sends a request once, or returns why it must not be sent to this address. */
  async send(
    request: VaultRequest,
    context: CallContext,
    index: number,
    patienceMs: number,
  ): Promise<Outcome> {
    if (!this.#book.isDoubtful(index)) return this.#send(request, context, index, patienceMs)
    if (request.token !== undefined) {
      const failure = await this.#recognize(request.token, context, index)
      return failure ?? this.#send(request, context, index, patienceMs)
    }
    const outcome = await this.#send(request, context, index, patienceMs)
    const token = outcome instanceof AttemptFailure ? undefined : tokenIn(outcome.body)
    return token === undefined ? outcome : this.#keepIfRecognized(outcome, token, context, index)
  }

  /**
   * Shows in advance that addresses that were not proven hold the same key, so that a request need not do it when the address in
   * use fails. An address that fails is not tried again for a while.
   */
  async recognizeOthers(token: Secret<string>, context: CallContext, now: number): Promise<void> {
    const due = [...this.#book.addresses.keys()].filter((index) => {
      const isRecent = now - (this.#triedAt.get(index) ?? -Infinity) < RETRY_MS
      return this.#book.isDoubtful(index) && !isRecent
    })
    await Promise.all(
      due.map((index) => {
        this.#triedAt.set(index, now)
        return this.#recognize(token, context, index)
      }),
    )
  }

  /** A login has no token for the check, so the token that it returns is used only if the address holds the key. */
  async #keepIfRecognized(
    outcome: Outcome,
    token: Secret<string>,
    context: CallContext,
    index: number,
  ): Promise<Outcome> {
    const failure = await this.#recognize(token, context, index)
    if (failure === undefined) return outcome
    const revoke = { operation: 'revoke_token', method: 'POST', path: 'auth/token/revoke-self' }
    const patienceMs = this.#book.patienceFor('revoke_token')
    await this.#send({ ...revoke, token } as VaultRequest, context, index, patienceMs)
    return failure
  }

  async #recognize(
    token: Secret<string>,
    context: CallContext,
    index: number,
  ): Promise<AttemptFailure | undefined> {
    try {
      if (!(await this.#check(this.#requester(token, index), context)))
        return differentVault(`Vault at ${this.#textOf(index)} has a different key of that name`)
      this.#book.prove(index)
      return undefined
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      if (isRefusal(error)) return differentVault(error.message, error)
      return new AttemptFailure(error, isOutage(error) ? 'soon' : 'never')
    }
  }

  #requester(token: Secret<string>, index: number): VaultRequester {
    return {
      request: async (request, context) => {
        const outcome = await this.#send(
          { ...request, token },
          context,
          index,
          this.#book.patienceFor(request.operation),
        )
        if (outcome instanceof AttemptFailure) throw outcome.error
        return outcome
      },
    }
  }

  #textOf(index: number): string {
    return this.#book.addresses[index]?.text ?? 'an unknown address'
  }
}

function differentVault(words: string, cause?: BridgeError): AttemptFailure {
  const message = `${words}; it is not the Vault that was in use before, check vault.address`
  return new AttemptFailure(new BridgeError('VAULT_UNAVAILABLE', message, { cause }), 'elsewhere')
}

function tokenIn(body: unknown): Secret<string> | undefined {
  const auth: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, 'auth') : null
  const token: unknown =
    typeof auth === 'object' && auth !== null ? Reflect.get(auth, 'client_token') : null
  return typeof token === 'string' ? new Secret(token) : undefined
}
