import { createHash } from 'node:crypto'
import type { CallContext } from '../../call-context.ts'
import type { Clock } from '../../time/clock.ts'
import type { ServiceAccountToken } from '../../identity/service-account-token.ts'
import type { Logger } from '../../telemetry/log.ts'
import { Transit } from '../../transit/transit.ts'
import type { SessionMetrics } from '../../vault/session/login-record.ts'
import type { Grant, Login } from '../../vault/logins/login.ts'
import { inNamespace, type VaultRequester } from '../../vault/client/request.ts'
import { createVaultSession, type VaultSession } from '../../vault/session/session.ts'
import { fingerprint } from '../volume/content.ts'

export interface PodSessionOptions {
  readonly token: ServiceAccountToken
  readonly role: string
  /** Namespace of the engines, empty for the root namespace. */
  readonly vaultNamespace: string
  readonly login: Login
  readonly client: VaultRequester
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: SessionMetrics
}

/** A pod's session with Vault: one service-account token, one role and one Vault namespace. */
export class PodSession {
  /** Hash of token, role and Vault namespace. */
  readonly id: string
  readonly #vaultNamespace: string
  readonly #session: VaultSession
  #rights: string | undefined
  #users = 0
  #idle = Promise.withResolvers<void>()

  constructor(options: PodSessionOptions) {
    const { token, role, vaultNamespace, login, client, clock, log, metrics } = options
    this.id = identify(token, role, vaultNamespace)
    this.#vaultNamespace = vaultNamespace
    this.#session = createVaultSession({
      client: inNamespace(client, vaultNamespace),
      login: this.#watch(login),
      clock,
      log,
      metrics,
    })
  }

  /** Sends requests with the Vault token of the pod, in the session's Vault namespace. */
  get requester(): VaultSession {
    return this.#session
  }

  /** The Transit engine at a mount path in the session's Vault namespace. */
  engine(mount: string): Transit {
    return new Transit({ vault: this.#session, mount })
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
        this.#rights = rightsOf(grant, this.#vaultNamespace) ?? this.id
        return grant
      },
    }
  }
}

/** Returns a hash of token, role and Vault namespace, so that no cache has the token as a key. */
export function identify(
  { token }: ServiceAccountToken,
  role: string,
  vaultNamespace: string,
): string {
  const text = `${token.reveal()}\n${role}\n${vaultNamespace}`
  return createHash('sha256').update(text).digest('base64url')
}

/**
 * Undefined if Vault returns no entity or policies; permissions are then not shared between sessions. A policy of the
 * same name can be different in another Vault namespace.
 */
function rightsOf({ entityId, policies }: Grant, vaultNamespace: string): string | undefined {
  if (entityId === undefined || policies === undefined) return undefined
  return fingerprint([vaultNamespace, entityId, ...policies.toSorted()])
}
