import type { CallContext } from '../../call-context.ts'
import { BridgeError } from '../../errors.ts'
import type { Clock } from '../../time/clock.ts'
import type { VaultRequest, VaultRequester } from '../client/request.ts'
import { grantOfLogin } from './grant.ts'
import type { Grant } from './login.ts'
import { COUNTED_REFUSAL, HARMLESS_REFUSAL, RefusalHold } from './refusal-hold.ts'
import {
  explainRefusal,
  isRefusedLogin,
  type CredentialFindings,
  type KnownRefusal,
} from './refusal.ts'

export interface LoginEndpointOptions {
  readonly client: VaultRequester
  readonly method: string
  readonly mount: string
  readonly known: readonly KnownRefusal[]
  /** Failures that look like an outage of Vault (5xx) but are not. */
  readonly knownFailures?: readonly KnownRefusal[]
  readonly clock: Clock
  /**
   * Whether Vault counts a rejected credential toward user lockout: approle, ldap and userpass
   * (https://developer.hashicorp.com/vault/docs/concepts/user-lockout). Default: false.
   */
  readonly countsRefusals?: boolean
  /** From 0 up to 1, for jitter. Default: Math.random. */
  readonly random?: (() => number) | undefined
}

/** One login with one credential. */
export interface LoginAttempt {
  readonly body: object
  /** Identifies the credential, so that a refused one is not sent again too soon. */
  readonly digest: string
  readonly role?: string | undefined
  /** Inspects the credential locally; called after Vault refused it. */
  readonly examine?: ((refusal: BridgeError) => CredentialFindings) | undefined
}

/** `auth/<mount>/login`, which the methods approle, cert, jwt and kubernetes have in common. */
export class LoginEndpoint {
  readonly #options: LoginEndpointOptions
  readonly #path: string
  readonly #hold: RefusalHold

  constructor(options: LoginEndpointOptions) {
    this.#options = options
    this.#path = `auth/${encodeMount(options.mount)}/login`
    this.#hold = new RefusalHold(options.clock, options.random)
  }

  /** A refusal becomes LOGIN_REFUSED with an explanation; every other error passes through. */
  async login(attempt: LoginAttempt, context: CallContext): Promise<Grant> {
    this.#hold.check(attempt.digest)
    try {
      const { client, countsRefusals = false } = this.#options
      const request: VaultRequest = {
        operation: 'login',
        method: 'POST',
        path: this.#path,
        body: attempt.body,
        ...(countsRefusals && { countsRefusals }),
      }
      const grant = grantOfLogin(await client.request(request, context))
      this.#hold.clear()
      return grant
    } catch (thrown) {
      throw isRefusedLogin(thrown) ? this.#refused(thrown, attempt) : this.#advise(thrown)
    }
  }

  #advise(thrown: unknown): unknown {
    if (!(thrown instanceof BridgeError)) return thrown
    const known = this.#options.knownFailures?.find(({ says }) => says.test(thrown.message))
    if (known === undefined) return thrown
    return new BridgeError(thrown.code, `${thrown.message}; ${known.advice}`, { cause: thrown })
  }

  #refused(refusal: BridgeError, { digest, role, examine }: LoginAttempt): BridgeError {
    const { method, mount, known, countsRefusals = false } = this.#options
    // A locked login is 403, and is not counted; a rejected credential is 400 (Vault: vault/request_handling.go).
    const counted = countsRefusals && refusal.code === 'VAULT_REJECTED'
    return this.#hold.refused(digest, counted ? COUNTED_REFUSAL : HARMLESS_REFUSAL, (until) => {
      const next = `the same credential is not sent again before ${toSeconds(until)}`
      const lockout =
        'Vault locks the role for every node after a few rejected logins (user lockout); '
      return explainRefusal(refusal, {
        method,
        mount,
        role,
        known,
        findings: examine?.(refusal),
        next: counted ? `${lockout}${next}, unless its file changes` : next,
      })
    })
  }
}

function toSeconds(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z')
}

/** A mount may have several segments ("team/jwt"); each is encoded separately. */
function encodeMount(mount: string): string {
  return mount
    .split('/')
    .filter((segment) => segment !== '')
    .map(encodeURIComponent)
    .join('/')
}
