import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { OpenBao } from './openbao.ts'
import type { CertificateAuthority } from '../host/pki.ts'

export type TokenType = 'service' | 'batch'

const loginDefaults: { role: string; ttl: string; tokenType: TokenType } = {
  role: 'transit-bridge-kms',
  ttl: '1h',
  tokenType: 'service',
}

type Login = {
  /** Default: the method's name. */
  mount?: string
  role?: string
  policies: string[]
  /** How long a token lives. Default: 1h. */
  ttl?: string
  tokenType?: TokenType
}

/** Does nothing if something is mounted there. */
export async function enableTransit(bao: OpenBao, mount = 'transit'): Promise<void> {
  const mounted = await bao.api('GET', 'sys/mounts')
  if (mounted[`${mount}/`] !== undefined) return
  await bao.api('POST', `sys/mounts/${mount}`, { type: 'transit' })
}

export type KeyPlace = {
  mount?: string
  type?: string
  exportable?: boolean
  derived?: boolean
}

export async function makeKey(bao: OpenBao, name: string, given: KeyPlace = {}): Promise<void> {
  const { mount = 'transit', ...rest } = given
  await bao.api('POST', `${mount}/keys/${name}`, rest)
}

export async function rotateKey(bao: OpenBao, name: string, mount = 'transit'): Promise<void> {
  await bao.api('POST', `${mount}/keys/${name}/rotate`, {})
}

/** Stores a certificate for the latest version of a key, as an operator does. */
export async function certify(
  bao: OpenBao,
  name: string,
  authority: CertificateAuthority,
): Promise<void> {
  const { data } = await bao.api('POST', `transit/keys/${name}/csr`, {})
  const chain = await authority.chainFor(String(data.csr))
  await bao.api('POST', `transit/keys/${name}/set-certificate`, { certificate_chain: chain })
}

/** Deletes a key permanently, which Vault allows only after `deletion_allowed`. */
export async function deleteKey(bao: OpenBao, name: string, mount = 'transit'): Promise<void> {
  await configKey(bao, name, { deletion_allowed: true }, mount)
  await bao.api('DELETE', `${mount}/keys/${name}`)
}

export type KeyConfig = {
  min_decryption_version?: number
  min_encryption_version?: number
  deletion_allowed?: boolean
  exportable?: boolean
  allow_plaintext_backup?: boolean
  auto_rotate_period?: string
}

export async function configKey(
  bao: OpenBao,
  name: string,
  config: KeyConfig,
  mount = 'transit',
): Promise<void> {
  await bao.api('POST', `${mount}/keys/${name}/config`, config)
}

export async function writePolicy(bao: OpenBao, name: string, hcl: string): Promise<void> {
  await bao.api('PUT', `sys/policies/acl/${name}`, { policy: hcl })
}

/** Reads a file of vault-policies/ and puts the mount and the key name in place of the defaults. */
export async function renderPolicy(
  file: string,
  { mount = 'transit', key = 'k8s-etcd' }: { mount?: string; key?: string } = {},
): Promise<string> {
  const folder = join(import.meta.dirname, '../../..', 'vault-policies')
  const hcl = await readFile(join(folder, file), 'utf8')
  return hcl.replace(
    /^(\s*path\s+")transit\/([^"]*)"/gm,
    (_all, before: string, rest: string) =>
      `${before}${mount}/${rest.replace(/(^|\/)k8s-etcd(?=$|\/)/g, `$1${key}`)}"`,
  )
}

export type JwtLogin = Login & {
  issuer: string
  publicKeysPem: string[]
  audience: string
  /** The service account: `system:serviceaccount:NAMESPACE:NAME`. */
  subject?: string
}

/** Lets service-account tokens log in, checked against pinned public keys, without the API server. */
export async function enableJwtLogin(bao: OpenBao, login: JwtLogin): Promise<void> {
  const { mount = 'jwt', role = loginDefaults.role } = login
  await enableAuth(bao, mount, 'jwt')
  await bao.api('POST', `auth/${mount}/config`, {
    jwt_validation_pubkeys: login.publicKeysPem,
    bound_issuer: login.issuer,
  })
  await bao.api('POST', `auth/${mount}/role/${role}`, {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: [login.audience],
    ...(login.subject === undefined ? {} : { bound_subject: login.subject }),
    ...tokenSettings(login),
  })
}

/** Adds a role to the jwt method that accepts a token for an hour after it has expired. */
export async function addLenientJwtRole(
  bao: OpenBao,
  role: string,
  policies: string[],
): Promise<void> {
  await bao.api('POST', `auth/jwt/role/${role}`, {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['vault'],
    expiration_leeway: 3600,
    clock_skew_leeway: 3600,
    ...tokenSettings({ policies }),
  })
}

/** Enables a role of AppRole; returns what it logs in with. */
export async function enableAppRole(
  bao: OpenBao,
  login: Login & { secretIdTtl?: string },
): Promise<{ roleId: string; secretId: string }> {
  const { mount = 'approle', role = loginDefaults.role } = login
  await enableAuth(bao, mount, 'approle')
  await bao.api('POST', `auth/${mount}/role/${role}`, {
    ...tokenSettings(login),
    ...(login.secretIdTtl === undefined ? {} : { secret_id_ttl: login.secretIdTtl }),
  })
  const roleId = await bao.api('GET', `auth/${mount}/role/${role}/role-id`)
  return { roleId: roleId.data.role_id, secretId: await newSecretId(bao, { mount, role }) }
}

/** Makes another secret id for a role of AppRole. */
export async function newSecretId(
  bao: OpenBao,
  { mount = 'approle', role = loginDefaults.role } = {},
): Promise<string> {
  const answer = await bao.api('POST', `auth/${mount}/role/${role}/secret-id`, {})
  return answer.data.secret_id
}

/** Lets client certificates of a CA log in; the server must have been started with `clientCaFile`. */
export async function enableCertLogin(
  bao: OpenBao,
  login: Login & { caPem: string; commonNames?: string[] },
): Promise<void> {
  const { mount = 'cert', role = loginDefaults.role } = login
  await enableAuth(bao, mount, 'cert')
  await bao.api('POST', `auth/${mount}/certs/${role}`, {
    certificate: login.caPem,
    ...(login.commonNames === undefined ? {} : { allowed_common_names: login.commonNames }),
    ...tokenSettings(login),
  })
}

/** Lets service-account tokens log in by TokenReview at an API server. */
export async function enableKubernetesLogin(
  bao: OpenBao,
  login: Login & {
    host: string
    caPem: string
    reviewerToken: string
    namespaces: string[]
    serviceAccounts: string[]
    audience?: string
  },
): Promise<void> {
  const { mount = 'kubernetes', role = loginDefaults.role } = login
  await enableAuth(bao, mount, 'kubernetes')
  await bao.api('POST', `auth/${mount}/config`, {
    kubernetes_host: login.host,
    kubernetes_ca_cert: login.caPem,
    token_reviewer_jwt: login.reviewerToken,
    disable_local_ca_jwt: true,
  })
  await bao.api('POST', `auth/${mount}/role/${role}`, {
    bound_service_account_names: login.serviceAccounts,
    bound_service_account_namespaces: login.namespaces,
    ...(login.audience === undefined ? {} : { audience: login.audience }),
    ...tokenSettings(login),
  })
}

/** Makes Vault write a request header to its audit devices, as it is. */
export async function auditHeader(bao: OpenBao, name: string): Promise<void> {
  await bao.api('PUT', `sys/config/auditing/request-headers/${name}`, { hmac: false })
}

async function enableAuth(bao: OpenBao, mount: string, type: string): Promise<void> {
  const enabled = await bao.api('GET', 'sys/auth')
  if (enabled[`${mount}/`] !== undefined) return
  await bao.api('POST', `sys/auth/${mount}`, { type })
}

function tokenSettings(login: Login): Record<string, unknown> {
  return {
    token_policies: login.policies,
    token_ttl: login.ttl ?? loginDefaults.ttl,
    token_type: login.tokenType ?? loginDefaults.tokenType,
    token_no_default_policy: false,
  }
}
