import type { Login } from './login.ts'
import {
  serviceAccountLogin,
  type RefusalTable,
  type ServiceAccountLoginOptions,
} from './service-account-login.ts'

/**
 * Method kubernetes: Vault asks the API server (TokenReview) at every login. The KMS plugin of that same
 * API server then has a circle in its start-up path: prefer jwt with pinned keys there (design §3.1).
 */
export function kubernetesLogin(options: ServiceAccountLoginOptions): Login {
  return serviceAccountLogin('kubernetes', knownRefusals, options)
}

/** Texts of vault-plugin-auth-kubernetes path_login.go and token_review.go. */
const knownRefusals: RefusalTable = (settings, mount, roleName) => {
  const role = `auth/${mount}/role/${roleName}`
  return [
    {
      says: /invalid role name/,
      advice: `create that role in vault or correct ${settings.role}`,
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
      advice: `make audience of ${role} and the audience that the token is issued for (${settings.audience}) the same`,
    },
    {
      says: /issuer|claim "iss"/,
      advice: `issuer in auth/${mount}/config must be the token's issuer, or set disable_iss_validation`,
    },
    {
      says: /could not load backend configuration/,
      advice: `auth/${mount}/config was never written: set kubernetes_host there`,
    },
    {
      // The cause is only in Vault's own log, at debug (vault-plugin-auth-kubernetes#373).
      says: /permission denied|service account unauthorized|lookup failed/,
      advice: `if a kubernetes method is enabled at ${settings.mount} = ${mount}, its TokenReview failed: does kubernetes_host in auth/${mount}/config reach this cluster, may its token_reviewer_jwt (or this service account) create tokenreviews (system:auth-delegator), does the service account still exist? vault's log says more at level debug`,
    },
    {
      says: /no handler for route|route entry not found|namespace not found/,
      advice: `is a kubernetes method enabled at ${settings.mount} = ${mount}, and is vault.namespace right?`,
    },
  ]
}
