import type { Login } from './login.ts'
import {
  serviceAccountLogin,
  type JwtMethod,
  type ServiceAccountLoginOptions,
} from './service-account-login.ts'

/** Method jwt: Vault checks the signature itself, against pinned keys or a JWKS. */
export function jwtLogin(options: ServiceAccountLoginOptions): Login {
  return serviceAccountLogin({ name: 'jwt', refusals }, options)
}

/** Messages of vault-plugin-auth-jwt path_login.go and hashicorp/cap/jwt, checked on OpenBao 2.7.2 and Vault 1.17.6. */
const refusals: JwtMethod['refusals'] = (settings, mount, roleName) => {
  const role = `auth/${mount}/role/${roleName}`
  return [
    {
      says: /role ".*" could not be found/,
      advice: `create that role in Vault or correct ${settings.role}`,
    },
    {
      says: /oidc role_type is not allowed/,
      advice: `the role is for browser logins (OIDC): set role_type=jwt on it`,
    },
    {
      says: /no audiences bound to the role/,
      advice: `set bound_audiences on ${role} to the token's audience`,
    },
    {
      says: /audience/,
      advice: `make bound_audiences of ${role} the same as the token's audience (${settings.audience})`,
    },
    {
      says: /issuer/,
      advice: `set bound_issuer in auth/${mount}/config to the token's issuer, which for a service-account token is the API server's --service-account-issuer; leave it empty for tokens without one`,
    },
    {
      says: /signature|no known key/,
      advice: `auth/${mount}/config does not have the public key that signed this token: has the signing key changed, or is this the token of another cluster?`,
    },
    {
      says: /expired|\bexp\b/,
      advice: settings.expiryAdvice,
    },
    {
      says: /not yet valid|before|\bnbf\b|\biat\b/,
      advice: `the clock of Vault or of this host is wrong`,
    },
    {
      says: /\bsub\b|subject|claim/,
      advice: `bound_subject and bound_claims of ${role} must match this token`,
    },
    {
      says: /could not load configuration|fetching keys|jwks/i,
      advice: `auth/${mount}/config has no usable keys: pin jwt_validation_pubkeys`,
    },
    {
      says: /no handler for route|route entry not found|permission denied|namespace not found/,
      advice: `check that a jwt method is enabled at ${settings.mount} = ${mount} ${settings.namespaceAdvice}`,
    },
  ]
}
