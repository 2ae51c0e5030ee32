import { change, join, remark, type Plan } from './plan.ts'
import type { Values } from '../operator/right.ts'
import { readText, type Settings } from '../operator/vault-settings.ts'
import type { KubernetesLogin } from './wanted.ts'

/** Said whenever this method is made ready (contract facts §7.2, §7.4). */
const CIRCLE =
  'login by kubernetes asks the API server about each token: after an outage of all API servers, the plugin cannot log in ' +
  'before one of them answers; jwt has no such circle'

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

/** The method's configuration. Without a reviewer's token each client's own is used: it needs system:auth-delegator. */
export function planKubernetesConfig(login: KubernetesLogin, found: Settings | undefined): Plan {
  const what = `auth/${login.mount}/`
  const host = readText(found?.['kubernetes_host'])
  if (host === login.host) return remark('note', CIRCLE)
  if (host !== '') {
    const text = `${what} asks the API server ${host}, not ${login.host}; set vault.auth.mount to another place`
    return remark('stop', text)
  }
  const { namespace, name } = login.serviceAccount
  const reviewer = `${namespace}/${name} needs the ClusterRole system:auth-delegator, since its own token is used for the TokenReview`
  return join(
    change({
      action: 'add',
      what: `API server to ask at ${what}`,
      details: [`kubernetes_host: ${login.host}`],
      path: `auth/${login.mount}/config`,
      body: {
        kubernetes_host: login.host,
        kubernetes_ca_cert: login.ca,
        disable_local_ca_jwt: true,
      },
      needs: ['update'],
    }),
    remark('note', CIRCLE),
    remark('note', reviewer),
  )
}
