import { systemClock } from '../../time/clock.ts'
import { KubeClient } from '../../kube/client.ts'
import { readKubeconfig } from '../../kube/kubeconfig.ts'
import type { Config, CsiConfig, TokenFileLogin, VaultConnection } from '../../config/config.ts'
import {
  parseJson,
  readIssuer,
  readJwks,
  readPem,
  type ClusterKeys,
} from '../../setup/cluster-keys.ts'
import { renderKmsPolicy } from '../../setup/policy/policy-file.ts'
import { VAULT_NAME_FAULT } from '../../config/schema/text.ts'
import { readCredentialFile } from '../../files/credential-file.ts'
import { Secret } from '../../secret.ts'
import { inspectReviewer } from '../../setup/reviewer-token.ts'
import type {
  Reviewer,
  ServiceAccount,
  Wanted,
  WantedLogin,
  WantedMount,
  WantedPlugin,
  WantedProvider,
} from '../../setup/wanted.ts'
import { flag, grouped, text, usageError, type Option, type ValuesOf } from '../cli/option.ts'
import { readTextFile } from '../../files/text-file.ts'
import type { SetupConfiguration } from './configuration.ts'

/** The keys with which Vault checks tokens, and the identity that logs in. */
export const wantedOptions = {
  ...grouped('Keys of the cluster, for vault.auth.method jwt', {
    kubeconfig: text('FILE', "Ask the cluster's API server."),
    jwks: text('FILE', 'What "kubectl get --raw /openid/v1/jwks" prints.'),
    serviceAccountKey: text(
      'FILE',
      "The file of kube-apiserver's --service-account-key-file, in PEM.",
    ),
    issuer: text(
      'ISSUER',
      "kube-apiserver's --service-account-issuer. Required with --jwks and --service-account-key. Default: the issuer that the API server publishes.",
    ),
  }),
  serviceAccount: serviceAccountOption(
    'The service account that logs in. Default: the one in --helm-manifest, or kube-system/transit-bridge-kms',
  ),
  audience: text(
    'NAME',
    'Audience of its token. Default: the one in --helm-manifest, vault.auth.audience, or "vault"',
  ),
  policy: policyOption('Name of the policy. Default: the name of the role.'),
  kubernetesHost: text(
    'URL',
    'For method kubernetes: the API server. Default: the server in --kubeconfig.',
  ),
  kubernetesCa: text('FILE', 'For method kubernetes: its CA. Default: the CA in --kubeconfig.'),
  reviewerTokenFile: text(
    'FILE',
    'For method kubernetes: the service-account token with which Vault asks the API server about each login.',
  ),
  noReviewerToken: flag(
    "For method kubernetes: Vault asks with the token of the login, which must then also have the API server's audience.",
  ),
}

type WantedValues = ValuesOf<typeof wantedOptions> & { readonly remove: boolean }

const DEFAULT_ACCOUNT: ServiceAccount = { namespace: 'kube-system', name: 'transit-bridge-kms' }

/** The wanted state of Vault, by configuration and command line. Reads keys from the API server if an option says so. */
export async function readWanted(
  { config, plugin, identity }: Omit<SetupConfiguration, 'close'>,
  values: WantedValues,
): Promise<Wanted> {
  const typed = {
    ...values,
    serviceAccount: values.serviceAccount ?? identity?.serviceAccount,
    audience: values.audience ?? identity?.audience,
  }
  const wanted = plugin === undefined ? undefined : await readPlugin(plugin, typed)
  const { csi, vault } = config
  return {
    plugin: wanted,
    provider: csi === undefined ? undefined : await readProvider(csi, vault, wanted, values),
  }
}

async function readPlugin(config: Config, values: WantedValues): Promise<WantedPlugin> {
  const { auth, namespace } = config.vault
  if (auth.namespace !== undefined && auth.namespace !== namespace) {
    throw usageError(
      'vault.auth.namespace differs from vault.namespace, which setup does not support; set up this login by hand',
    )
  }
  const isToken = auth.method === 'jwt' || auth.method === 'kubernetes'
  const login = isToken ? await readLogin(auth, values) : undefined
  const role = login?.role ?? 'transit-bridge-kms'
  return {
    transit: config.transit,
    policy: { name: values.policy ?? role, hcl: renderKmsPolicy(config.transit) },
    login,
    inNamespace: namespace !== undefined,
  }
}

async function readLogin(auth: TokenFileLogin, values: WantedValues): Promise<WantedLogin> {
  const { role, method, mount } = auth
  const audience = values.audience ?? auth.audience ?? 'vault'
  const setting = 'vault.auth.mount'
  const serviceAccount = values.serviceAccount ?? DEFAULT_ACCOUNT
  return {
    ...(await readMount({ method, mount, setting, audience }, values)),
    role,
    serviceAccount,
  }
}

async function readProvider(
  { auth, audience, mount }: CsiConfig,
  { namespace }: VaultConnection,
  plugin: WantedPlugin | undefined,
  values: WantedValues,
): Promise<WantedProvider> {
  const login = `auth/${auth.mount}/`
  if (auth.namespace !== undefined && auth.namespace !== (namespace ?? '')) {
    const where = `pods log in at ${login} of another Vault namespace (csi.auth.namespace)`
    return { mount, login: `${where}, which setup does not prepare; set up this login by hand` }
  }
  if (plugin !== undefined && plugin.login === undefined && !hasKeys(values) && !values.remove) {
    const what = 'pass --kubeconfig FILE, or the keys of the cluster, and setup prepares it'
    return { mount, login: `the login of pods at ${login} is not prepared; ${what}` }
  }
  const shared = plugin?.login
  if (shared !== undefined && shared.mount === auth.mount && shared.method === auth.method)
    return { mount, login: shared }
  return {
    mount,
    login: await readMount(
      { method: auth.method, mount: auth.mount, setting: 'csi.auth.mount', audience },
      values,
    ),
  }
}

function hasKeys({ kubeconfig, jwks, serviceAccountKey, kubernetesHost }: WantedValues): boolean {
  return [kubeconfig, jwks, serviceAccountKey, kubernetesHost].some((one) => one !== undefined)
}

async function readMount(
  { method, ...place }: Pick<WantedMount, 'method' | 'mount' | 'setting' | 'audience'>,
  values: WantedValues,
): Promise<WantedMount> {
  if (method === 'kubernetes') {
    const server = values.remove ? { host: '', ca: '' } : await readApiServer(values)
    return { method, ...place, ...server, reviewer: await readReviewer(values) }
  }
  const none = { issuer: '', publicKeys: [] }
  return { method, ...place, ...(values.remove ? none : await readKeys(values)) }
}

async function readKeys(values: WantedValues): Promise<ClusterKeys> {
  const { kubeconfig, jwks, issuer, serviceAccountKey: pem } = values
  const given = [kubeconfig, jwks, pem].filter((one) => one !== undefined)
  if (given.length !== 1) {
    const which = given.length === 0 ? 'needs one of' : 'takes only one of'
    throw usageError(
      `${which} --kubeconfig, --jwks and --service-account-key: the keys that tokens are checked with`,
    )
  }
  if (kubeconfig !== undefined) return askCluster(kubeconfig, issuer)
  if (issuer === undefined)
    throw usageError('needs --issuer ISSUER, the --service-account-issuer of kube-apiserver')
  const file = jwks ?? pem ?? ''
  const content = await readTextFile(file)
  return {
    issuer,
    publicKeys:
      jwks === undefined ? readPem(content, file) : await readJwks(parseJson(content), file),
  }
}

async function askCluster(file: string, issuer: string | undefined): Promise<ClusterKeys> {
  const client = new KubeClient(await readKubeconfig(file), systemClock)
  const jwks = '/openid/v1/jwks'
  const discovery = '/.well-known/openid-configuration'
  // JSON alone is not acceptable to this path (kubernetes: pkg/routes/openidmetadata.go).
  const accept = 'application/jwk-set+json, application/json'
  try {
    return {
      publicKeys: await readJwks(
        await client.read({ method: 'GET', path: jwks, accept }),
        client.server + jwks,
      ),
      issuer: issuer ?? readIssuer(await client.get(discovery), client.server + discovery),
    }
  } finally {
    client.close()
  }
}

async function readApiServer(values: WantedValues) {
  const { kubeconfig: file, kubernetesHost, kubernetesCa: caFile } = values
  const cluster = file === undefined ? undefined : await readKubeconfig(file)
  const host = kubernetesHost ?? cluster?.server
  if (host === undefined)
    throw usageError(
      'needs --kubernetes-host URL or --kubeconfig FILE: the API server that Vault asks about tokens',
    )
  const ca = caFile === undefined ? cluster?.ca : await readTextFile(caFile)
  if (ca === undefined)
    throw usageError('needs --kubernetes-ca FILE: the CA certificate of that API server')
  return { host, ca }
}

async function readReviewer({
  reviewerTokenFile: path,
  noReviewerToken,
}: WantedValues): Promise<Reviewer> {
  if (path === undefined) return { kind: noReviewerToken ? 'login' : 'undecided' }
  if (noReviewerToken)
    throw usageError('--reviewer-token-file and --no-reviewer-token cannot be used together')
  const content = await readCredentialFile({
    path,
    setting: '--reviewer-token-file',
    whenMissing: 'write the token of a service account to it: kubectl create token',
  })
  return inspectReviewer({ path, content: new Secret(content) }, systemClock.now())
}

function serviceAccountOption(help: string) {
  const option: Option<ServiceAccount | undefined> = {
    takes: 'NAMESPACE/NAME',
    help,
    read: ([value], label) => {
      if (value === undefined) return undefined
      const [, namespace, name] = /^([a-z0-9][a-z0-9-]*)\/([a-z0-9][a-z0-9.-]*)$/.exec(value) ?? []
      if (namespace !== undefined && name !== undefined) return { namespace, name }
      throw usageError(`${label} must be NAMESPACE/NAME`)
    },
  }
  return option
}

function policyOption(help: string): Option<string | undefined> {
  return {
    ...text('NAME', help),
    read: ([name], label) => {
      if (name === undefined) return undefined
      if (name === 'root' || name === 'default')
        throw usageError(`${label} must not be ${name}, a policy of Vault itself; use another name`)
      if (/^\w([\w.-]*\w)?$/.test(name)) return name
      throw usageError(`${label} ${VAULT_NAME_FAULT}`)
    },
  }
}
