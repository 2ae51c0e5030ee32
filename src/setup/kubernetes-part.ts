import { change, join, NOTHING, remark, type Plan } from './plan.ts'
import type { Values } from '../operator/right.ts'
import { readText, type Settings } from '../operator/vault-settings.ts'
import type { KubernetesLogin } from './wanted.ts'

/** kube-apiserver 1.37 withdraws its own service while its KMS plugin is not ready (docs/design.md, "Logins"). */
const CIRCLE =
  'the kubernetes method asks the API server about each token, so after an outage of all API servers the plugin cannot log in ' +
  'before one of them answers; the jwt method does not depend on them'

/** The role of the plugin: one service account, one audience, one policy. */
export function kubernetesRole(login: KubernetesLogin, policy: string): Values {
  const { namespace, name } = login.serviceAccount
  return {
    bound_service_account_names: [name],
    bound_service_account_namespaces: [namespace],
    audience: login.audience,
    token_policies: [policy],
    token_num_uses: 0,
  }
}

/** The configuration of the method: the API server to ask, and the token to ask it with. */
export function planKubernetesConfig(login: KubernetesLogin, found: Settings | undefined): Plan {
  const what = `auth/${login.mount}/`
  const host = readText(found?.['kubernetes_host'])
  if (host !== '' && host !== login.host) {
    const text = `${what} asks the API server ${host}, not ${login.host}; set vault.auth.mount to another mount`
    return remark('stop', text)
  }
  const hasReviewer = found?.['token_reviewer_jwt_set'] === true
  const wantsChange = host === '' || (login.reviewer.kind === 'file' && !hasReviewer)
  return join(
    wantsChange ? writeConfig(login, host) : NOTHING,
    remark('note', CIRCLE),
    hasReviewer ? explainReplacement(login) : explainReviewer(login),
  )
}

function writeConfig(login: KubernetesLogin, host: string): Plan {
  const { reviewer } = login
  const details = [`kubernetes_host: ${login.host}`]
  if (reviewer.kind === 'file') details.push(`token_reviewer_jwt: from ${reviewer.path}`)
  return change({
    action: host === '' ? 'add' : 'change',
    what: `API server to ask at auth/${login.mount}/`,
    details,
    path: `auth/${login.mount}/config`,
    body: {
      kubernetes_host: login.host,
      kubernetes_ca_cert: login.ca,
      disable_local_ca_jwt: true,
    },
    secrets: reviewer.kind === 'file' ? { token_reviewer_jwt: reviewer } : undefined,
    needs: ['update'],
  })
}

/**
 * Without a reviewer token, Vault presents each login's own token to the API server, which accepts only tokens for its
 * own audience (vault-plugin-auth-kubernetes, token_review.go): a token for another audience alone can never log in.
 */
function explainReviewer({ mount, audience, reviewer, serviceAccount }: KubernetesLogin): Plan {
  const { namespace, name } = serviceAccount
  switch (reviewer.kind) {
    case 'file':
      return remark(
        'note',
        'the reviewer token needs the ClusterRole system:auth-delegator; nothing replaces it when it expires: run setup with a new one before then',
      )
    case 'login':
      return remark(
        'note',
        `without a reviewer token, Vault presents the token of each login to the API server: it must be issued for the API server's audience (--api-audiences, by default --service-account-issuer), and not only for ${JSON.stringify(audience)}, and ${namespace}/${name} needs the ClusterRole system:auth-delegator`,
      )
    case 'undecided':
      return remark(
        'stop',
        `auth/${mount}/ has no reviewer token, so Vault would present the plugin's own token to the API server, which refuses the audience ${JSON.stringify(audience)}: pass --reviewer-token-file FILE with the token of a service account that has the ClusterRole system:auth-delegator (kubectl create token), or --no-reviewer-token if the plugin's token is also issued for the API server's audience`,
      )
  }
}

function explainReplacement({ mount, reviewer }: KubernetesLogin): Plan {
  if (reviewer.kind !== 'file') return NOTHING
  const command = `bao write auth/${mount}/config token_reviewer_jwt=@${reviewer.path} and the other settings`
  return remark(
    'note',
    `auth/${mount}/ already has a reviewer token, which Vault does not show; to replace it: ${command}`,
  )
}
