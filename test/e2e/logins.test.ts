// Logging in with tokens that the very API server issued which the plugin encrypts for.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import t, { type Test } from 'tap'
import { ROLE } from '../real/kms-world.ts'
import { Plugin } from '../real/plugin.ts'
import { findSamples } from '../real/prometheus-text.ts'
import { ServiceAccountIssuer } from '../real/service-account.ts'
import { tempFolder } from '../real/temp-folder.ts'
import {
  enableJwtLogin,
  enableKubernetesLogin,
  renderPolicy,
  writePolicy,
} from '../real/transit-setup.ts'
import { encryptionConfig, identity, kms } from './encryption-config.ts'
import { eventually } from './eventually.ts'
import { kmsProviders } from './observe.ts'
import { storedV2 } from './stored.ts'
import { startApiServer, startEtcd, startVault } from './world.ts'

const NAMESPACE = 'kube-system'
const ACCOUNT = 'transit-bridge-kms'
const POLICY = 'kms-of-this-cluster'
const VALUES = { password: 'a' }

const socket = join(tempFolder('logins'), 'kms.sock')
const tokenFile = join(tempFolder('logins'), 'token')
const signer = await ServiceAccountIssuer.create()
const [{ world }, etcd] = await Promise.all([startVault(t), startEtcd(t)])
await writePolicy(world.bao, POLICY, await renderPolicy('kms.hcl'))
// No plugin is there yet, so this API server is not ready; it issues and reviews tokens all the same.
const api = await startApiServer(t, {
  etcd,
  signer,
  encryptionConfig: encryptionConfig([kms(socket), identity]),
  waitReady: false,
})
await eventually('the namespace of system components', () =>
  api.api('GET', `/api/v1/namespaces/${NAMESPACE}`),
)

void t.test('jwt with pinned keys: a token of this API server opens Vault for it', async (t) => {
  await enableJwtLogin(world.bao, {
    mount: 'pinned',
    issuer: api.issuer,
    publicKeysPem: [api.publicKeyPem],
    audience: 'vault',
    subject: `system:serviceaccount:${NAMESPACE}:${ACCOUNT}`,
    role: ROLE,
    policies: [POLICY],
    // So short that the plugin logs in anew within the test.
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

  // It was not replaced in time (Vault takes it for 150 s more, against clocks that differ): told in words, and mended by a new file alone.
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

  // Vault asks nobody, so that an account is deleted is not seen before its token ends.
  await deleteAccount()
  t.equal(await login('pinned'), 200)

  const wrongAudience = await api.serviceAccountToken(NAMESPACE, ACCOUNT, { audience: 'other' })
  writeFileSync(tokenFile, wrongAudience)
  await plugin.waitForHealth(/audience/)
})

void t.test('kubernetes: the API server reviews the token that it issued', async (t) => {
  const reviewerToken = await api.serviceAccountToken(NAMESPACE, 'vault-reviewer')
  await enableKubernetesLogin(world.bao, {
    host: api.address,
    caPem: readFileSync(api.caFile, 'utf8'),
    reviewerToken,
    namespaces: [NAMESPACE],
    serviceAccounts: [ACCOUNT],
    audience: 'vault',
    role: ROLE,
    policies: [POLICY],
    ttl: '4s',
  })
  await issueToken()
  t.not(await login('kubernetes'), 200, 'the reviewer has no right to review yet')
  const plugin = await startWith(t, { method: 'kubernetes' })
  await plugin.waitForHealth(/permission denied|403/)
  t.comment((await plugin.client.status()).healthz)

  await api.api('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: 'vault-reviewer' },
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'ClusterRole',
      name: 'system:auth-delegator',
    },
    subjects: [{ kind: 'ServiceAccount', namespace: NAMESPACE, name: 'vault-reviewer' }],
  })
  // The API server is not ready while its plugin cannot log in, and yet it reviews: no circle.
  await plugin.waitForHealth('ok')
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
  return (await world.bao.request('POST', `auth/${mount}/login`, body, { token: null })).status
}

async function startWith(test: Test, auth: Record<string, unknown>): Promise<Plugin> {
  const plugin = await Plugin.start({
    vault: {
      address: world.bao.address,
      auth: { role: ROLE, tokenFile, audience: 'vault', ...auth },
    },
    kms: { socket, refreshInterval: '1s', outageGrace: '1s' },
  })
  test.teardown(() => plugin.stop())
  return plugin
}

async function tokenExpiry(plugin: Plugin): Promise<number> {
  const { text } = await plugin.admin('/metrics')
  const [sample] = findSamples(text, 'transit_bridge_identity_token_expiry_timestamp_seconds')
  return sample?.value ?? 0
}
