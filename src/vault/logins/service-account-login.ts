import type { BridgeError } from '../../errors.ts'
import type { Clock } from '../../time/clock.ts'
import type { VaultRequester } from '../client/request.ts'
import { describeIdentity } from '../../identity/token-words.ts'
import { LoginEndpoint } from './login-endpoint.ts'
import { VAULT_AUTH_SETTINGS, type Login, type LoginSettingNames } from './login.ts'
import type { IdentityToken, ReadIdentity } from '../../identity/identity-token.ts'
import { digestOf } from './refusal-hold.ts'
import type { KnownRefusal } from './refusal.ts'

/** What the logins with a JWT need: jwt and kubernetes. */
export interface ServiceAccountLoginOptions {
  readonly client: VaultRequester
  readonly mount: string
  readonly role: string
  readonly readJwt: ReadIdentity
  readonly clock: Clock
  /** Default: {@link VAULT_AUTH_SETTINGS}. */
  readonly settings?: LoginSettingNames
}

export interface JwtMethod {
  readonly name: 'jwt' | 'kubernetes'
  /** The method's messages for a refusal, with advice that names the settings and the paths in Vault. */
  readonly refusals: (
    settings: LoginSettingNames,
    mount: string,
    role: string,
  ) => readonly KnownRefusal[]
  /** A likely cause that the claims show, beside those that both methods share. */
  readonly suspect?:
    | ((refusal: BridgeError, claims: IdentityToken['claims'], mount: string) => string | undefined)
    | undefined
}

/** Posts role and JWT: the two methods differ in how Vault checks the JWT and in what it says then. */
export function serviceAccountLogin(method: JwtMethod, options: ServiceAccountLoginOptions): Login {
  const { client, mount, role, readJwt, clock, settings = VAULT_AUTH_SETTINGS } = options
  const known = method.refusals(settings, mount, role)
  const endpoint = new LoginEndpoint({ client, method: method.name, mount, known, clock })
  return {
    method: method.name,
    async login(context) {
      const { token, claims, doubt } = await readJwt()
      const jwt = token.reveal()
      const examine = (refusal: BridgeError) => ({
        faults: [doubt, method.suspect?.(refusal, claims, mount)].filter(
          (fault) => fault !== undefined,
        ),
        claims: describeIdentity(claims, clock.now()),
      })
      return endpoint.login({ body: { role, jwt }, digest: digestOf(jwt), role, examine }, context)
    },
  }
}
