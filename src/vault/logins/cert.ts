import { readCredentialFile } from '../../files/credential-file.ts'
import type { Clock } from '../../time/clock.ts'
import type { VaultRequester } from '../client/request.ts'
import { LoginEndpoint } from './login-endpoint.ts'
import type { Login } from './login.ts'
import { digestOf } from './refusal-hold.ts'
import type { KnownRefusal } from './refusal.ts'

export interface CertLoginOptions {
  readonly client: VaultRequester
  readonly mount: string
  /** The certificate role to use; without it, Vault tries all of them. */
  readonly role?: string | undefined
  /** The certificate that the client presents. */
  readonly certFile: string
  readonly clock: Clock
  /** Called before each login, so that the client presents the certificate that is in the file now. */
  readonly beforeLogin?: () => Promise<void> | void
}

/** Method cert: the credential is the TLS client certificate, which the client presents. */
export function certLogin(options: CertLoginOptions): Login {
  const { client, mount, role, certFile, clock, beforeLogin } = options
  const known = knownRefusals(mount)
  const endpoint = new LoginEndpoint({
    client,
    method: 'cert',
    mount,
    known,
    knownFailures: [NAMELESS],
    clock,
  })
  return {
    method: 'cert',
    async login(context) {
      await beforeLogin?.()
      const certificate = await readCredentialFile({
        path: certFile,
        setting: 'vault.auth.certFile',
        whenMissing: 'write the client certificate and its chain to it, in PEM',
      })
      return endpoint.login({ body: { name: role }, role, digest: digestOf(certificate) }, context)
    },
  }
}

/** Vault names the identity after the certificate's common name, which an X.509-SVID need not have. */
const NAMELESS: KnownRefusal = {
  says: /missing name in alias/,
  advice:
    'the certificate has no common name, which Vault requires: set one where it is issued (with SPIRE, set a DNS name on the entry)',
}

/** Messages of builtin/credential/cert/path_login.go, checked on OpenBao 2.7.2 and Vault 1.17.6. */
function knownRefusals(mount: string): KnownRefusal[] {
  return [
    {
      says: /tls connection required|no client certificate|client certificate must be supplied/i,
      advice:
        'Vault received no client certificate: check vault.auth.certFile and keyFile, and that no proxy in front of Vault terminates TLS',
    },
    {
      says: /failed to match all constraints|no chain matching all constraints/,
      advice: `the certificate is not signed by the role's CA, or does not match its allowed_* names (allowed_uri_sans for a SPIFFE id): check vault.auth.certFile against auth/${mount}/certs/…`,
    },
    {
      says: /invalid certificate|expired|revoked|not yet valid/,
      advice:
        'the certificate has expired, was revoked, or was issued by a CA that no role has: check vault.auth.certFile and vault.auth.role',
    },
    {
      says: /permission denied|no handler for route|route entry not found|namespace not found/,
      advice: `check that a cert method is enabled at vault.auth.mount = ${mount} and that vault.namespace is right`,
    },
  ]
}
