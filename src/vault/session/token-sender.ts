import type { CallContext } from '../../call-context.ts'
import { BridgeError } from '../../errors.ts'
import type { Clock } from '../../time/clock.ts'
import { wait } from '../../time/wait.ts'
import type { VaultRequest, VaultRequester, VaultResponse } from '../client/request.ts'
import type { HeldToken } from './held-token.ts'

/**
 * A standby that serves requests itself denies a token that has not been replicated to it yet
 * (https://openbao.org/docs/concepts/consistency/): the pauses after which a new token is tried again.
 */
const REPLICATION_PAUSES_MS = [100, 200, 400, 800] as const

export interface TokenSenderOptions {
  readonly client: VaultRequester
  readonly clock: Clock
  /** Whether the session has been stopped: nothing is tried again then. */
  readonly isStopped: () => boolean
}

/** Sends a request with a token, and records in the token whether Vault accepts it. */
export class TokenSender {
  readonly #options: TokenSenderOptions

  constructor(options: TokenSenderOptions) {
    this.#options = options
  }

  /**
   * Allows for the time that a new token takes to reach the node of Vault that answers. The token must have been
   * acquired for this request; it is released at the end.
   */
  async send(request: VaultRequest, context: CallContext, held: HeldToken): Promise<VaultResponse> {
    const { clock, isStopped } = this.#options
    for (const pauseMs of REPLICATION_PAUSES_MS) {
      try {
        return await this.#sendOnce(request, context, held)
      } catch (thrown) {
        if (!isDenial(thrown) || !this.#maySettle(held)) throw thrown
        if (clock.monotonic() + pauseMs >= context.deadline) throw notReplicated(thrown)
        await wait(pauseMs, clock, context.signal)
        if (context.signal?.aborted === true) throw notReplicated(thrown)
        if (isStopped() || !held.acquire()) throw thrown
      }
    }
    try {
      return await this.#sendOnce(request, context, held)
    } finally {
      held.settled = true
    }
  }

  #maySettle(held: HeldToken): boolean {
    const { clock, isStopped } = this.#options
    return held.isAlive(clock) && held.isFresh(clock) && !held.settled && !isStopped()
  }

  async #sendOnce(
    request: VaultRequest,
    context: CallContext,
    held: HeldToken,
  ): Promise<VaultResponse> {
    try {
      const withToken = { ...request, token: held.token }
      const response = await this.#options.client.request(withToken, context)
      held.denied = false
      held.wasAccepted = true
      held.settled = true
      return response
    } catch (thrown) {
      if (isDenial(thrown)) held.denied = true
      throw thrown
    } finally {
      held.release()
    }
  }
}

/** A caller without time for all tries has not seen a refusal, which would zero local keys. */
function notReplicated(cause: unknown): BridgeError {
  const message = 'Vault denies the token that it has just issued; this node may not have it yet'
  return new BridgeError('VAULT_UNAVAILABLE', message, { cause })
}

/** Whether Vault answered 403, which may be about the token or about what it may do. */
export function isDenial(thrown: unknown): boolean {
  return thrown instanceof BridgeError && thrown.code === 'VAULT_DENIED'
}
