import type { Clock } from '../../time/clock.ts'
import type { VaultRequester } from '../client/request.ts'
import { describeIdentity } from '../../identity/token-words.ts'
import { requestLogin } from './login-request.ts'
import { VAULT_AUTH_SETTINGS, type Login, type LoginSettingNames } from './login.ts'
import type { ReadIdentity } from '../../identity/identity-token.ts'
import type { KnownRefusal } from './refusal.ts'

/** What the logins with a service account's JWT need: jwt and kubernetes. */
export interface ServiceAccountLoginOptions {
  readonly client: VaultRequester
  readonly mount: string
  readonly role: string
  readonly readJwt: ReadIdentity
  readonly clock: Clock
  /** Default: {@link VAULT_AUTH_SETTINGS}. */
  readonly settings?: LoginSettingNames
}

/** What a method says when it refuses, with advice that names the settings and the paths in Vault. */
export type RefusalTable = (
  settings: LoginSettingNames,
  mount: string,
  role: string,
) => KnownRefusal[]

/** Posts role and JWT: the two methods differ in how Vault checks the JWT and in what it then says. */
export function serviceAccountLogin(
  method: 'jwt' | 'kubernetes',
  refusals: RefusalTable,
  options: ServiceAccountLoginOptions,
): Login {
  const { client, mount, role, readJwt, clock, settings = VAULT_AUTH_SETTINGS } = options
  const known = refusals(settings, mount, role)
  return {
    method,
    async login(context) {
      const { token, claims } = await readJwt()
      const credential = describeIdentity(claims, clock.now())
      const facts = { method, mount, role, known, credential }
      return requestLogin(client, facts, { role, jwt: token.reveal() }, context)
    },
  }
}
