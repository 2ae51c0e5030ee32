import { createHash } from 'node:crypto'
import type { CallContext } from '../../call-context.ts'
import type { Clock } from '../../time/clock.ts'
import type { ServiceAccountToken } from '../../identity/service-account-token.ts'
import type { Logger } from '../../telemetry/log.ts'
import { Transit } from '../../transit/transit.ts'
import type { SessionMetrics } from '../../vault/session/login-record.ts'
import type { Grant, Login } from '../../vault/logins/login.ts'
import type { VaultRequester } from '../../vault/client/request.ts'
import { createVaultSession, type VaultSession } from '../../vault/session/session.ts'
import { fingerprint } from '../volume/content.ts'

export interface PodSessionOptions {
  readonly token: ServiceAccountToken
  readonly role: string
  readonly login: Login
  readonly client: VaultRequester
  /** Mount path of the Transit engine. */
  readonly mount: string
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: SessionMetrics
}

/** A pod's session with Vault: one service-account token and one role. */
export class PodSession {
  /** Hash of token and role. */
  readonly id: string
  readonly engine: Transit
  readonly #session: VaultSession
  #rights: string | undefined
  #users = 0
  #idle = Promise.withResolvers<void>()

  constructor(options: PodSessionOptions) {
    const { token, role, login, client, mount, clock, log, metrics } = options
    this.id = identify(token, role)
    this.#session = createVaultSession({
      client,
      login: this.#watch(login),
      clock,
      log,
      metrics,
    })
    this.engine = new Transit({ vault: this.#session, mount })
  }

  /**
   * Identifies what Vault allows this identity. Vault builds an ACL from a token's policies and fills their templates
   * from its entity, so tokens with the same policies and entity have the same permissions
   * (https://developer.hashicorp.com/vault/docs/concepts/policies#templated-policies). Known after a login, in which
   * Vault verified the service-account token.
   */
  async rights(context: CallContext): Promise<string> {
    if (this.#rights === undefined) await this.#session.ready(context)
    return this.#rights ?? this.id
  }

  /** Runs work that uses the session. {@link PodSession.idle} waits for it. */
  async use<T>(work: () => Promise<T>): Promise<T> {
    if (this.#users === 0) this.#idle = Promise.withResolvers()
    this.#users += 1
    try {
      return await work()
    } finally {
      this.#users -= 1
      if (this.#users === 0) this.#idle.resolve()
    }
  }

  /** Resolves when no work uses the session. */
  async idle(): Promise<void> {
    if (this.#users > 0) await this.#idle.promise
  }

  /** Ends the session and revokes its token, even if it is in use. Never throws. */
  async end(context: CallContext): Promise<void> {
    await this.#session.stop(context)
  }

  #watch(login: Login): Login {
    return {
      method: login.method,
      login: async (context) => {
        const grant = await login.login(context)
        this.#rights = rightsOf(grant) ?? this.id
        return grant
      },
    }
  }
}

/** Returns the hash of a service-account token and a role, so that no cache has the token as a key. */
export function identify({ token }: ServiceAccountToken, role: string): string {
  return createHash('sha256').update(`${token.reveal()}\n${role}`).digest('base64url')
}

/** Undefined if Vault returns no entity or policies; permissions are then not shared between sessions. */
function rightsOf({ entityId, policies }: Grant): string | undefined {
  if (entityId === undefined || policies === undefined) return undefined
  return fingerprint([entityId, ...policies.toSorted()])
}
