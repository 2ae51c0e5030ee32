import { change, join, NOTHING, remark, type Plan } from './plan.ts'
import type { Values } from '../operator/right.ts'
import { isUnset, readText, type Settings } from '../operator/vault-settings.ts'
import type { KubernetesLogin, KubernetesMount } from './wanted.ts'

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

/** Settings that setup does not manage and keeps: Vault replaces the configuration as a whole, and a missing one is reset. */
const KEPT = ['issuer', 'pem_keys', 'disable_iss_validation', 'use_annotations_as_alias_metadata']

const WRITTEN: ReadonlySet<string> = new Set([
  ...KEPT,
  'kubernetes_host',
  'kubernetes_ca_cert',
  'disable_local_ca_jwt',
  'token_reviewer_jwt_set',
])

/** The configuration of the method: the API server to ask, and the token to ask it with. */
export function planKubernetesConfig(login: KubernetesMount, found: Settings | undefined): Plan {
  const { mount, reviewer } = login
  const host = readText(found?.['kubernetes_host'])
  if (host !== '' && host !== login.host) {
    const text = `auth/${mount}/ asks the API server ${host}, not ${login.host}; set ${login.setting} to another mount`
    return remark('stop', text)
  }
  const others = Object.entries(found ?? {})
    .filter(([name, value]) => !WRITTEN.has(name) && !isUnset(value))
    .map(([name]) => name)
  const hasReviewer = found?.['token_reviewer_jwt_set'] === true
  const otherCa = host !== '' && hasOtherCa(login, found)
  if (otherCa && hasReviewer && reviewer.kind !== 'file') {
    const text = `auth/${mount}/ trusts a CA certificate other than that of ${login.host}; replacing it also replaces the reviewer token, which Vault does not show: pass --reviewer-token-file FILE`
    return remark('stop', text)
  }
  const wantsChange = host === '' || otherCa || reviewer.kind === 'file'
  if (wantsChange && others.length > 0) {
    const text = `auth/${mount}/ is in use with ${others.join(', ')}, which setup does not know and would reset; set ${login.setting} to another mount, or change it by hand`
    return remark('stop', text)
  }
  return join(
    wantsChange ? writeConfig(login, found, otherCa) : NOTHING,
    remark('note', CIRCLE),
    hasReviewer && reviewer.kind !== 'file' ? NOTHING : explainReviewer(login),
  )
}

/** If no certificate is set, the method uses that of the pod in which Vault runs, which setup cannot see. */
function hasOtherCa({ ca }: KubernetesMount, found: Settings | undefined): boolean {
  const foundCa = readText(found?.['kubernetes_ca_cert']).trim()
  const usesPodCa = foundCa === '' && found?.['disable_local_ca_jwt'] !== true
  return !usesPodCa && foundCa !== ca.trim()
}

function writeConfig(login: KubernetesMount, found: Settings | undefined, otherCa: boolean): Plan {
  const { reviewer, mount, host } = login
  const isNew = readText(found?.['kubernetes_host']) === ''
  const details = [`kubernetes_host: ${host}`]
  if (otherCa) details.push('kubernetes_ca_cert: another certificate')
  if (reviewer.kind === 'file') details.push(`token_reviewer_jwt: from ${reviewer.path}`)
  const kept = Object.entries(found ?? {}).filter(([name]) => KEPT.includes(name))
  return change({
    action: isNew ? 'add' : 'change',
    what: `API server to ask at auth/${mount}/`,
    details,
    path: `auth/${mount}/config`,
    body: {
      ...(Object.fromEntries(kept) as Values),
      kubernetes_host: host,
      kubernetes_ca_cert: login.ca,
      disable_local_ca_jwt: true,
    },
    secrets: reviewer.kind === 'file' ? { token_reviewer_jwt: reviewer } : undefined,
    unreadable: !isNew && !otherCa,
    needs: ['update'],
  })
}

/**
 * Without a reviewer token, Vault presents each login's own token to the API server, which accepts only tokens for its
 * own audience (vault-plugin-auth-kubernetes, token_review.go): a token for another audience alone can never log in.
 */
function explainReviewer({ mount, audience, reviewer, serviceAccount }: KubernetesMount): Plan {
  const who =
    serviceAccount === undefined
      ? 'the service account of each pod'
      : `${serviceAccount.namespace}/${serviceAccount.name}`
  switch (reviewer.kind) {
    case 'file':
      return join(
        ...reviewer.suspicions.map((text) => remark('warn', text)),
        remark(
          'note',
          `the reviewer token needs the ClusterRole system:auth-delegator; nothing replaces it when it expires${describeExpiry(reviewer.expiresAt)}: run setup with a new one before then`,
        ),
      )
    case 'login':
      return remark(
        'note',
        `without a reviewer token, Vault presents the token of each login to the API server: it must be issued for the API server's audience (--api-audiences, by default --service-account-issuer), and not only for ${JSON.stringify(audience)}, and ${who} needs the ClusterRole system:auth-delegator`,
      )
    case 'undecided':
      return remark(
        'stop',
        `auth/${mount}/ has no reviewer token, so Vault would present the plugin's own token to the API server, which refuses the audience ${JSON.stringify(audience)}: pass --reviewer-token-file FILE with the token of a service account that has the ClusterRole system:auth-delegator (kubectl create token), or --no-reviewer-token if the plugin's token is also issued for the API server's audience`,
      )
  }
}

function describeExpiry(expiresAt: number | undefined): string {
  return expiresAt === undefined ? '' : ` (${new Date(expiresAt).toISOString()})`
}
