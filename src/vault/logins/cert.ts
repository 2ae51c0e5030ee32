import type { VaultRequester } from '../client/request.ts'
import { requestLogin } from './login-request.ts'
import type { Login } from './login.ts'
import type { KnownRefusal } from './refusal.ts'

export interface CertLoginOptions {
  readonly client: VaultRequester
  readonly mount: string
  /** The certificate role to try; without it Vault tries all. */
  readonly role?: string
  /** Called before each login, so that the client presents the certificate that is on disk now. */
  readonly beforeLogin?: () => Promise<void> | void
}

/** Method cert: the proof is the TLS client certificate, which is the client's matter. */
export function certLogin(options: CertLoginOptions): Login {
  const { client, mount, role, beforeLogin } = options
  const named = role === undefined ? {} : { role }
  const facts = { method: 'cert', mount, known: knownRefusals(mount), ...named }
  return {
    method: 'cert',
    async login(context) {
      await beforeLogin?.()
      return requestLogin(client, facts, role === undefined ? {} : { name: role }, context)
    },
  }
}

/** Texts of openbao/builtin/credential/cert/path_login.go, checked on OpenBao 2.7.2. */
function knownRefusals(mount: string): KnownRefusal[] {
  return [
    {
      says: /tls connection required|no client certificate|client certificate must be supplied/i,
      advice:
        'no client certificate arrived at vault: check vault.auth.certFile and keyFile, and that no proxy between ends TLS',
    },
    {
      says: /failed to match all constraints|no chain matching all constraints/,
      advice: `the certificate is not signed by the role's CA or does not fit its allowed_* names: check vault.auth.certFile against auth/${mount}/certs/…`,
    },
    {
      says: /invalid certificate|expired|revoked|not yet valid/,
      advice:
        'the certificate has expired, was revoked, or was made by a CA that no role knows: check vault.auth.certFile and vault.auth.role',
    },
    {
      says: /permission denied|no handler for route|route entry not found|namespace not found/,
      advice: `is a cert method enabled at vault.auth.mount = ${mount}, and is vault.namespace right?`,
    },
  ]
}
