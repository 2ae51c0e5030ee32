import type { CallContext } from '../../call-context.ts'
import type { Clock } from '../../time/clock.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { HeldToken } from './held-token.ts'
import type { VaultRequester } from '../client/request.ts'

export interface TokenRetirementOptions {
  readonly client: VaultRequester
  readonly clock: Clock
  readonly log: Logger
  /** How long one revocation may take. */
  readonly timeoutMs: number
}

/** Revokes the tokens that a session no longer uses, after the requests that still do. */
export class TokenRetirement {
  readonly #options: TokenRetirementOptions
  readonly #underWay = new Set<Promise<void>>()

  constructor(options: TokenRetirementOptions) {
    this.#options = options
  }

  /** The caller must not use the token for new requests from now on. */
  retire(held: HeldToken, context?: CallContext): void {
    if (!held.grant.revocable || !held.isAlive(this.#options.clock)) return
    const revocation = this.#revokeWhenIdle(held, context).finally(() => {
      this.#underWay.delete(revocation)
    })
    this.#underWay.add(revocation)
  }

  /** Resolves when the revocation of every retired token has succeeded or failed. */
  async done(): Promise<void> {
    await Promise.all(this.#underWay)
  }

  async #revokeWhenIdle(held: HeldToken, context: CallContext | undefined): Promise<void> {
    const { client, clock, log, timeoutMs } = this.#options
    await held.idle()
    const path = 'auth/token/revoke-self'
    const request = { operation: 'revoke_token', method: 'POST', path, token: held.token } as const
    try {
      await client.request(request, context ?? { deadline: clock.monotonic() + timeoutMs })
    } catch (thrown) {
      // Best effort: the token expires with its lease.
      log.debug({ err: thrown }, 'an old Vault token could not be revoked')
    }
  }
}
