import { quotedAudiences } from '../../identity/token-words.ts'
import { quoted } from '../../text/quoted.ts'
import type { Login } from './login.ts'
import {
  serviceAccountLogin,
  type JwtMethod,
  type ServiceAccountLoginOptions,
} from './service-account-login.ts'

/**
 * Method kubernetes: Vault asks the API server about the token (TokenReview) at every login. The KMS plugin of that
 * same API server then depends on it at startup: prefer jwt with pinned keys there (docs/design.md, "Logins").
 */
export function kubernetesLogin(options: ServiceAccountLoginOptions): Login {
  return serviceAccountLogin({ name: 'kubernetes', refusals, suspect: suspectReviewer }, options)
}

/** Messages of vault-plugin-auth-kubernetes path_login.go and token_review.go, checked on OpenBao 2.7.2 and Vault 1.17.6. */
const refusals: JwtMethod['refusals'] = (settings, mount, roleName) => {
  const role = `auth/${mount}/role/${roleName}`
  return [
    {
      says: /invalid role name/,
      advice: `create that role in Vault or correct ${settings.role}`,
    },
    {
      says: /service account name not authorized/,
      advice: `add the service account to bound_service_account_names of ${role}`,
    },
    {
      says: /namespace not authorized/,
      advice: `add the namespace to bound_service_account_namespaces of ${role}`,
    },
    {
      says: /audience/,
      advice: `make audience of ${role} the same as the token's audience (${settings.audience})`,
    },
    {
      says: /issuer|claim "iss"/,
      advice: `set issuer in auth/${mount}/config to the token's issuer, or set disable_iss_validation`,
    },
    {
      says: /could not load backend configuration/,
      advice: `auth/${mount}/config was never written: set kubernetes_host there`,
    },
    {
      // Vault writes the cause only to its own log, at debug (hashicorp/vault-plugin-auth-kubernetes#373).
      says: /permission denied|service account unauthorized|lookup failed/,
      advice: `if a kubernetes method is enabled at ${settings.mount} = ${mount}, its TokenReview failed: check that kubernetes_host and kubernetes_ca_cert in auth/${mount}/config are those of this cluster's API server, that the reviewer token has not expired and may create tokenreviews (ClusterRole system:auth-delegator), and that the service account still exists; Vault's log says more at level debug`,
    },
    {
      says: /no handler for route|route entry not found|namespace not found/,
      advice: `check that a kubernetes method is enabled at ${settings.mount} = ${mount} ${settings.namespaceAdvice}`,
    },
  ]
}

/**
 * Without a token_reviewer_jwt, Vault presents the login's own token to the API server, which accepts only tokens for
 * its own audience (--api-audiences, by default the issuer). A token for audience "vault" alone never works there.
 */
const suspectReviewer: JwtMethod['suspect'] = ({ message }, { issuer, audiences }, mount) => {
  if (!message.includes('permission denied') || audiences.length === 0) return undefined
  if (issuer !== undefined && audiences.includes(issuer)) return undefined
  const own = issuer === undefined ? '' : `, usually ${quoted(issuer)}`
  return `without token_reviewer_jwt in auth/${mount}/config, Vault presents this token itself to the API server, which refuses ${quotedAudiences(audiences)}: set token_reviewer_jwt, or issue the token for the API server's audience (--api-audiences${own})`
}
