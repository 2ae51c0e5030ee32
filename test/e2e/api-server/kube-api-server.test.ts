import { decodeProtectedHeader } from 'jose'
import { test } from 'tap'
import { Etcd } from '../../real/cluster/etcd.ts'
import { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import { OpenBao } from '../../real/vault/openbao.ts'
import { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import { enableJwtLogin } from '../../real/vault/transit-setup.ts'

const encryptionConfig = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - secretbox: {keys: [{name: one, secret: ${Buffer.alloc(32, 7).toString('base64')}}]}
      - identity: {}
`

void test('a Secret is ciphertext in etcd, and two API servers read it', async (t) => {
  const etcd = await Etcd.start()
  t.teardown(() => etcd.stop())
  const signer = await ServiceAccountIssuer.create()
  const api = await KubeApiServer.start({ etcd, signer, encryptionConfig })
  t.teardown(() => api.stop())
  await api.createSecret('default', 'a', { password: 'hello' })
  const stored = await etcd.get('/registry/secrets/default/a')
  t.match(stored?.toString('latin1'), /^k8s:enc:secretbox:v1:one:/)
  t.notMatch(stored?.toString('latin1'), /hello/)
  t.match(await etcd.range('/registry/secrets/default/'), [{ key: '/registry/secrets/default/a' }])
  t.equal((await api.readyz()).status, 200)
  const [writes] = await api.samples('apiserver_storage_transformation_operations_total', {
    resource: 'secrets',
    transformation_type: 'to_storage',
    transformer_prefix: 'k8s:enc:secretbox:v1:',
  })
  t.equal(writes?.value, 1)

  const second = await KubeApiServer.start({ etcd, signer, encryptionConfig })
  t.teardown(() => second.stop())
  t.same(await second.getSecret('default', 'a'), { password: 'hello' })

  // The tokens of one are valid for the other, and for every Vault that pins their public key.
  const token = await second.serviceAccountToken('apps', 'web', { audience: 'vault' })
  t.equal(decodeProtectedHeader(token).kid, signer.keyId)
  const bao = await OpenBao.start()
  t.teardown(() => bao.stop())
  const { issuer, publicKeyPem } = api
  const subject = 'system:serviceaccount:apps:web'
  const pinned = { issuer, publicKeysPem: [publicKeyPem], audience: 'vault', subject }
  await enableJwtLogin(bao, { ...pinned, role: 'web', policies: ['default'] })
  const login = { role: 'web', jwt: token }
  t.match(await bao.request('POST', 'auth/jwt/login', login, { token: null }), { status: 200 })

  await api.kill()
  await api.restart()
  t.same(await api.getSecret('default', 'a'), { password: 'hello' })
})
