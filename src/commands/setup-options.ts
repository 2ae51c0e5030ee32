import { systemClock } from '../time/clock.ts'
import { KubeClient } from '../kube/client.ts'
import { readKubeconfig } from '../kube/kubeconfig.ts'
import type { Config, TokenFileLogin } from '../config/config.ts'
import { BridgeError } from '../errors.ts'
import {
  parseJson,
  readIssuer,
  readJwks,
  readPem,
  type ClusterKeys,
} from '../setup/cluster-keys.ts'
import { renderKmsPolicy } from '../setup/policy-file.ts'
import type { Reviewer, Wanted, WantedLogin } from '../setup/wanted.ts'
import { readCredentialFile } from '../files/credential-file.ts'
import { Secret } from '../secret.ts'
import type { OptionValues } from './cli/command.ts'
import { readTextFile } from '../files/text-file.ts'

/** What the configuration and the command line say of how Vault should be. Asks the API server if it is told to. */
export async function readWanted(config: Config, values: OptionValues): Promise<Wanted> {
  const { auth, namespace } = config.vault
  if (auth.namespace !== undefined && auth.namespace !== namespace) {
    throw mistake(
      'vault.auth.namespace is another than vault.namespace, which setup does not make ready; do it by hand',
    )
  }
  const isToken = auth.method === 'jwt' || auth.method === 'kubernetes'
  const login = isToken ? await readLogin(auth, values) : undefined
  const role = login?.role ?? 'transit-bridge-kms'
  return {
    transit: config.transit,
    policy: { name: readName(values, 'policy', role), hcl: renderKmsPolicy(config.transit) },
    login,
    inNamespace: namespace !== undefined,
  }
}

async function readLogin(auth: TokenFileLogin, values: OptionValues): Promise<WantedLogin> {
  const { mount, role } = auth
  const audience = text(values, 'audience') ?? auth.audience ?? 'vault'
  const common = { mount, role, audience, serviceAccount: readServiceAccount(values) }
  if (auth.method === 'kubernetes') {
    const server = values['remove'] === true ? { host: '', ca: '' } : await readApiServer(values)
    return { method: 'kubernetes', ...common, ...server, reviewer: await readReviewer(values) }
  }
  const nobody = { issuer: '', publicKeys: [] }
  const keys = values['remove'] === true ? nobody : await readKeys(values)
  return { method: 'jwt', ...common, ...keys }
}

async function readKeys(values: OptionValues): Promise<ClusterKeys> {
  const kubeconfig = text(values, 'kubeconfig')
  const jwks = text(values, 'jwks')
  const pem = text(values, 'service-account-key')
  const given = [kubeconfig, jwks, pem].filter((one) => one !== undefined)
  if (given.length !== 1) {
    const which = given.length === 0 ? 'needs one of' : 'takes only one of'
    throw mistake(
      `${which} --kubeconfig, --jwks and --service-account-key: the keys that tokens are checked with`,
    )
  }
  if (kubeconfig !== undefined) return askCluster(kubeconfig, text(values, 'issuer'))
  const issuer = text(values, 'issuer')
  if (issuer === undefined)
    throw mistake('needs --issuer ISSUER, the --service-account-issuer of kube-apiserver')
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

async function readApiServer(values: OptionValues) {
  const file = text(values, 'kubeconfig')
  const cluster = file === undefined ? undefined : await readKubeconfig(file)
  const host = text(values, 'kubernetes-host') ?? cluster?.server
  if (host === undefined)
    throw mistake(
      'needs --kubernetes-host URL or --kubeconfig FILE: the API server that vault asks about tokens',
    )
  const caFile = text(values, 'kubernetes-ca')
  const ca = caFile === undefined ? cluster?.ca : await readTextFile(caFile)
  if (ca === undefined)
    throw mistake('needs --kubernetes-ca FILE: who signs the certificate of that API server')
  return { host, ca }
}

async function readReviewer(values: OptionValues): Promise<Reviewer> {
  const path = text(values, 'reviewer-token-file')
  const none = values['no-reviewer-token'] === true
  if (path === undefined) return { kind: none ? 'login' : 'undecided' }
  if (none) throw mistake('--reviewer-token-file and --no-reviewer-token exclude each other')
  const content = await readCredentialFile({
    path,
    setting: '--reviewer-token-file',
    whenMissing: 'write the token of a service account to it: kubectl create token',
  })
  return { kind: 'file', path, content: new Secret(content) }
}

function readServiceAccount(values: OptionValues) {
  const given = text(values, 'service-account') ?? 'kube-system/transit-bridge-kms'
  const [, namespace, name] = /^([a-z0-9][a-z0-9-]*)\/([a-z0-9][a-z0-9.-]*)$/.exec(given) ?? []
  if (namespace === undefined || name === undefined)
    throw mistake('--service-account is none; write NAMESPACE/NAME')
  return { namespace, name }
}

function readName(values: OptionValues, option: string, usual: string): string {
  const name = text(values, option) ?? usual
  if (/^\w([\w.-]*\w)?$/.test(name) && name !== 'root' && name !== 'default') return name
  throw mistake(
    `--${option} is not a name that vault takes; use letters, digits, _, and inside . and -`,
  )
}

function text(values: OptionValues, name: string): string | undefined {
  const value = values[name]
  return typeof value === 'string' ? value : undefined
}

function mistake(message: string): BridgeError {
  return new BridgeError('USAGE_INVALID', `setup: ${message}`)
}
