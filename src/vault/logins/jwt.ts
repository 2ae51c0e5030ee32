import type { Login } from './login.ts'
import {
  serviceAccountLogin,
  type RefusalTable,
  type ServiceAccountLoginOptions,
} from './service-account-login.ts'

/** Method jwt: Vault checks the signature itself, against pinned keys or a JWKS. */
export function jwtLogin(options: ServiceAccountLoginOptions): Login {
  return serviceAccountLogin('jwt', knownRefusals, options)
}

/** Texts of openbao/builtin/credential/jwt/path_login.go and hashicorp/cap/jwt, checked on OpenBao 2.7.2. */
const knownRefusals: RefusalTable = (settings, mount, roleName) => {
  const role = `auth/${mount}/role/${roleName}`
  return [
    {
      says: /role ".*" could not be found/,
      advice: `create that role in vault or correct ${settings.role}`,
    },
    {
      says: /oidc role_type is not allowed/,
      advice: `the role was made for browsers: set role_type=jwt on it`,
    },
    {
      says: /no audiences bound to the role/,
      advice: `set bound_audiences on ${role} to the token's audience`,
    },
    {
      says: /audience/,
      advice: `make bound_audiences of ${role} and the audience that the token is issued for (${settings.audience}) the same`,
    },
    {
      says: /issuer/,
      advice: `bound_issuer in auth/${mount}/config must be the token's issuer, the API server's --service-account-issuer`,
    },
    {
      says: /signature|no known key/,
      advice: `auth/${mount}/config does not have the public key that signed this token: was the cluster's service-account signing key changed, or is this another cluster's token?`,
    },
    {
      says: /expired|\bexp\b/,
      advice: `whoever refreshes the token's file has stopped, or a clock is wrong`,
    },
    {
      says: /not yet valid|before|\bnbf\b|\biat\b/,
      advice: `the clock of vault or of this host is wrong`,
    },
    {
      says: /\bsub\b|subject|claim/,
      advice: `bound_subject and bound_claims of ${role} must fit this service account`,
    },
    {
      says: /could not load configuration|fetching keys|jwks/i,
      advice: `auth/${mount}/config has no usable keys: pin jwt_validation_pubkeys`,
    },
    {
      says: /no handler for route|route entry not found|permission denied|namespace not found/,
      advice: `is a jwt method enabled at ${settings.mount} = ${mount}, and is vault.namespace right?`,
    },
  ]
}
