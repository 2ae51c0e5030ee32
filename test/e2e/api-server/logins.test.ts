// Logins with tokens that were issued by the API server that the plugin serves.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import { t, test, type Test } from 'tap'
import { CsiClient } from '../../real/program/csi-client.ts'
import { KEY, ROLE } from '../../real/vault/kms-vault.ts'
import { Plugin } from '../../real/program/plugin.ts'
import { Provider } from '../../real/program/provider.ts'
import { findSamples } from '../../real/cluster/prometheus-text.ts'
import { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { enableJwtLogin, renderPolicy, writePolicy } from '../../real/vault/transit-setup.ts'
import { runHere } from '../../setup/fixture.ts'
import { encryptionConfig, identity, kms } from '../encryption-config.ts'
import { eventually } from '../../real/host/eventually.ts'
import { kmsProviders } from '../observe.ts'
import { storedV2 } from '../stored.ts'
import { startApiServer, startEtcd, startVault } from '../cluster.ts'

const NAMESPACE = 'kube-system'
const ACCOUNT = 'transit-bridge-kms'
const POLICY = 'kms-of-this-cluster'
const VALUES = { password: 'a' }

const socket = join(tempFolder('logins'), 'kms.sock')
const tokenFile = join(tempFolder('logins'), 'token')
const signer = await ServiceAccountIssuer.create()
const [{ vault }, etcd] = await Promise.all([startVault(t), startEtcd(t)])
await writePolicy(vault.bao, POLICY, await renderPolicy('kms.hcl'))
// There is no plugin yet, so this API server is not ready, but it issues and reviews tokens.
const api = await startApiServer(t, {
  etcd,
  signer,
  encryptionConfig: encryptionConfig([kms(socket), identity]),
  waitReady: false,
})
await eventually('the namespace of system components', () =>
  api.api('GET', `/api/v1/namespaces/${NAMESPACE}`),
)

void test('jwt with pinned keys: a token of this API server opens Vault for it', async (t) => {
  await enableJwtLogin(vault.bao, {
    mount: 'pinned',
    issuer: api.issuer,
    publicKeysPem: [api.publicKeyPem],
    audience: 'vault',
    subject: `system:serviceaccount:${NAMESPACE}:${ACCOUNT}`,
    role: ROLE,
    policies: [POLICY],
    // Short enough for the plugin to log in again within the test.
    ttl: '4s',
  })
  await issueToken()
  const plugin = await startWith(t, { method: 'jwt', mount: 'pinned' })
  await plugin.waitForHealth('ok')
  await kmsProviders(api, 'ok')
  await api.createSecret('default', 'jwt', VALUES)
  await storedV2(etcd, 'jwt')

  // The kubelet replaces the file before the token ends, and the next login takes the new one.
  const expiry = Number(decodeJwt(readFileSync(tokenFile, 'utf8')).exp)
  t.equal(await tokenExpiry(plugin), expiry)
  await issueToken(7200)
  await eventually('a login with the new token', async () => (await tokenExpiry(plugin)) > expiry)
  t.equal((await plugin.client.status()).healthz, 'ok')

  // It was not replaced in time (Vault accepts it for 150 s more, because clocks differ): this is explained, and a new file fixes it.
  writeFileSync(
    tokenFile,
    await signer.token({ namespace: NAMESPACE, name: ACCOUNT, expiresIn: -600 }),
  )
  await plugin.waitForHealth(/expired/)
  t.comment((await plugin.client.status()).healthz)
  await kmsProviders(api, /expired/)
  await issueToken()
  await plugin.waitForHealth('ok')
  await kmsProviders(api, 'ok')

  // Vault asks no API server, so the deletion of an account is not seen before its token ends.
  await deleteAccount()
  t.equal(await login('pinned'), 200)

  const wrongAudience = await api.serviceAccountToken(NAMESPACE, ACCOUNT, { audience: 'other' })
  writeFileSync(tokenFile, wrongAudience)
  await plugin.waitForHealth(/audience/)
})

void test('kubernetes without a reviewer token: the cause is named, in setup and in the login', async (t) => {
  await issueToken()
  t.match(await setup(), {
    code: 1,
    stdout: /stop: .*refuses the audience "vault": pass --reviewer-/,
  })
  t.match(await setup('--no-reviewer-token', '--yes'), {
    code: 0,
    stdout: /not only for "vault"/,
  })
  await grantReview(ACCOUNT)
  // Refused in spite of every right to review: the API server does not accept the token itself.
  const cause =
    /without token_reviewer_jwt in .*, Vault presents this token itself to the API server/
  const plugin = await startWith(t, { method: 'kubernetes' })
  await plugin.waitForHealth(cause)
  t.comment((await plugin.client.status()).healthz)

  // One token for both audiences, as TokenRequest issues it, is enough.
  const both = ['vault', api.issuer]
  writeFileSync(tokenFile, await api.serviceAccountToken(NAMESPACE, ACCOUNT, { audience: both }))
  await plugin.waitForHealth('ok')
})

void test('kubernetes: the API server reviews the token that it issued', async (t) => {
  const reviewer = join(tempFolder('logins'), 'reviewer')
  writeFileSync(reviewer, await api.serviceAccountToken(NAMESPACE, 'vault-reviewer'))
  await issueToken()
  const done = await setup('--reviewer-token-file', reviewer, '--yes')
  t.match(done, { code: 0, stdout: /token_reviewer_jwt: from / }, done.stderr)
  await vault.bao.api('POST', `auth/kubernetes/role/${ROLE}`, {
    ...(await vault.bao.api('GET', `auth/kubernetes/role/${ROLE}`)).data,
    token_ttl: 4,
  })
  t.not(await login('kubernetes'), 200, 'the reviewer has no right to review yet')
  const plugin = await startWith(t, { method: 'kubernetes' })
  await plugin.waitForHealth(/permission denied/)
  await plugin.program.waitForLine(/its TokenReview failed: .*system:auth-delegator/)
  t.comment((await plugin.client.status()).healthz)

  await grantReview('vault-reviewer')
  // The API server is not ready while its plugin cannot log in, but it still reviews tokens: no circle.
  await plugin.waitForHealth('ok', { timeoutMs: 60_000 })
  await kmsProviders(api, 'ok')
  await api.createSecret('default', 'kubernetes', VALUES)
  t.same(await api.getSecret('default', 'jwt'), VALUES)

  await deleteAccount()
  await eventually('the token of a deleted account to be refused', async () => {
    return (await login('kubernetes')) !== 200
  })
  await plugin.waitForHealth(/login|log in|denied/)
  t.comment((await plugin.client.status()).healthz)
  await issueToken()
  await plugin.waitForHealth('ok')
})

void test('kubernetes for pods: without a reviewer token the cause is named, with one they log in', async (t) => {
  const config = {
    kubernetes_host: api.address,
    kubernetes_ca_cert: readFileSync(api.caFile, 'utf8'),
  }
  await vault.bao.api('POST', 'sys/auth/pods', { type: 'kubernetes' })
  await vault.bao.api('POST', 'auth/pods/config', { ...config, disable_local_ca_jwt: true })
  await vault.bao.api('POST', 'auth/pods/role/web', {
    bound_service_account_names: ['web'],
    bound_service_account_namespaces: ['shop'],
    audience: 'vault',
    token_policies: ['web'],
  })
  await vault.bao.api('POST', 'transit/keys/app-web', { type: 'ecdsa-p256' })
  await writePolicy(vault.bao, 'web', 'path "transit/keys/app-web" { capabilities = ["read"] }')
  const provider = await Provider.start(tempFolder('providers'), {
    vault: { address: vault.bao.address },
    csi: {
      audience: 'vault',
      auth: { method: 'kubernetes', mount: 'pods' },
      rules: [
        {
          namespaces: ['shop'],
          serviceAccounts: ['web'],
          roles: ['web'],
          keys: ['app-web'],
          types: ['publicKey'],
        },
      ],
    },
  })
  t.teardown(() => provider.stop())
  const client = new CsiClient(provider.socket)
  t.teardown(() => client.close())
  const mount = async () => {
    const token = await api.serviceAccountToken('shop', 'web', { audience: 'vault' })
    return client.mount({ attributes: attributesOf(token) })
  }
  await t.rejects(mount(), {
    message: /without token_reviewer_jwt in .*refuses audience "vault"/,
  })
  await vault.bao.api('POST', 'auth/pods/config', {
    ...config,
    disable_local_ca_jwt: true,
    token_reviewer_jwt: await api.serviceAccountToken(NAMESPACE, 'vault-reviewer'),
  })
  t.ok((await mount()).files.has('web.pem'))
})

/** What the driver sends for a pod with this token. */
function attributesOf(token: string): string {
  const pod = 'csi.storage.k8s.io/pod'
  return JSON.stringify({
    role: 'web',
    objects: JSON.stringify([{ path: 'web.pem', type: 'publicKey', key: 'app-web' }]),
    [`${pod}.namespace`]: 'shop',
    [`${pod}.name`]: 'web-0',
    [`${pod}.uid`]: '2b5c8a1e-0000-4000-8000-000000000009',
    'csi.storage.k8s.io/serviceAccount.name': 'web',
    'csi.storage.k8s.io/serviceAccount.tokens': JSON.stringify({ vault: { token } }),
  })
}

/** `setup` for the kubernetes method of this API server, with an operator token. */
async function setup(...args: readonly string[]) {
  const config = join(tempFolder('logins'), 'config.yaml')
  const auth = { method: 'kubernetes', role: ROLE, tokenFile, audience: 'vault' }
  const section = { address: vault.bao.address, auth }
  const document = { vault: section, transit: { key: KEY }, kms: { clusterId: 'test-cluster' } }
  writeFileSync(config, JSON.stringify(document))
  const server = ['--kubernetes-host', api.address, '--kubernetes-ca', api.caFile]
  const command = ['setup', '--config', config, '--policy', POLICY, ...server, ...args]
  return runHere(command, { VAULT_TOKEN: vault.bao.rootToken })
}

/** Lets a service account review tokens. */
async function grantReview(name: string): Promise<void> {
  await api.createServiceAccount(NAMESPACE, name)
  await api.api('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: `review-${name}` },
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'ClusterRole',
      name: 'system:auth-delegator',
    },
    subjects: [{ kind: 'ServiceAccount', namespace: NAMESPACE, name }],
  })
}

/** Puts a token of the plugin's service account, issued by the API server, where the plugin reads it. */
async function issueToken(expirationSeconds = 3600): Promise<void> {
  const wanted = { audience: 'vault', expirationSeconds }
  writeFileSync(tokenFile, await api.serviceAccountToken(NAMESPACE, ACCOUNT, wanted))
}

async function deleteAccount(): Promise<void> {
  await api.api('DELETE', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/${ACCOUNT}`)
}

/** The status of a login to Vault with the token in the file. */
async function login(mount: string): Promise<number> {
  const body = { role: ROLE, jwt: readFileSync(tokenFile, 'utf8') }
  return (await vault.bao.request('POST', `auth/${mount}/login`, body, { token: null })).status
}

async function startWith(t: Test, auth: Record<string, unknown>): Promise<Plugin> {
  const plugin = await Plugin.start({
    vault: {
      address: vault.bao.address,
      auth: { role: ROLE, tokenFile, audience: 'vault', ...auth },
    },
    kms: { socket, refreshInterval: '1s', outageGrace: '1s' },
  })
  t.teardown(() => plugin.stop())
  return plugin
}

async function tokenExpiry(plugin: Plugin): Promise<number> {
  const { text } = await plugin.admin('/metrics')
  const [sample] = findSamples(text, 'transit_bridge_identity_token_expiry_timestamp_seconds')
  return sample?.value ?? 0
}
