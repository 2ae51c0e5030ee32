import { readFile } from 'node:fs/promises'
import { test } from 'tap'
import { Agent, request } from 'undici'
import { OpenBao } from './openbao.ts'
import { CertificateAuthority } from '../host/pki.ts'
import { ServiceAccountIssuer } from '../cluster/service-account.ts'
import { TcpProxy } from '../faults/tcp-proxy.ts'
import {
  auditHeader,
  enableCertLogin,
  enableJwtLogin,
  enableTransit,
  makeKey,
  renderPolicy,
  writePolicy,
} from './transit-setup.ts'

const plaintext = Buffer.from('x').toString('base64')

void test('can be sealed, killed and restarted with its data', async (t) => {
  const bao = await OpenBao.start()
  t.teardown(() => bao.stop())
  await enableTransit(bao)
  await makeKey(bao, 'app')
  const { data } = await bao.api('POST', 'transit/encrypt/app', { plaintext })
  const decrypt = () => bao.request('POST', 'transit/decrypt/app', { ciphertext: data.ciphertext })
  await bao.seal()
  t.match(await decrypt(), { status: 503, body: { errors: ['Vault is sealed'] } })
  await bao.unseal()
  t.match(await decrypt(), { status: 200, body: { data: { plaintext } } })
  await bao.kill()
  await t.rejects(decrypt())
  await bao.restart({ sealed: true })
  t.match(await decrypt(), { status: 503 })
  await bao.unseal()
  t.match(await decrypt(), { status: 200, body: { data: { plaintext } } })
  await t.rejects(bao.api('POST', 'transit/decrypt/app', { ciphertext: 'no' }), /400 .*ciphertext/)
})

void test('audits what was requested since a mark', async (t) => {
  const bao = await OpenBao.start()
  t.teardown(() => bao.stop())
  await enableTransit(bao)
  await makeKey(bao, 'app')
  await auditHeader(bao, 'X-Transit-Bridge-UID')
  const since = bao.auditMark()
  const headers = { 'x-transit-bridge-uid': 'u-1' }
  await bao.request('POST', 'transit/encrypt/app', { plaintext }, { headers })
  await bao.request('GET', 'transit/keys/app', undefined, { token: 's.wrong' })
  t.match(bao.auditRequests({ since }), [
    { operation: 'update', path: 'transit/encrypt/app', displayName: 'root' },
    { operation: 'read', path: 'transit/keys/app', displayName: '', error: /permission denied/ },
  ])
  const [encrypt] = bao.auditRequests({ since, path: /encrypt/ })
  t.same(encrypt?.headers['x-transit-bridge-uid'], ['u-1'])
  t.notMatch(bao.rawAudit(since), new RegExp(`"${plaintext}"`), 'values are hashed')
})

void test('logs service accounts in against a pinned key, least privilege', async (t) => {
  const bao = await OpenBao.start()
  t.teardown(() => bao.stop())
  await enableTransit(bao, 'kube')
  await makeKey(bao, 'etcd', { mount: 'kube' })
  await writePolicy(bao, 'kms', await renderPolicy('kms.hcl', { mount: 'kube', key: 'etcd' }))
  const issuer = await ServiceAccountIssuer.create()
  await enableJwtLogin(bao, {
    issuer: issuer.issuer,
    publicKeysPem: [issuer.publicKeyPem],
    audience: 'vault',
    subject: 'system:serviceaccount:kube-system:transit-bridge',
    policies: ['kms'],
  })
  const login = async (...wanted: Parameters<ServiceAccountIssuer['token']>) =>
    bao.request(
      'POST',
      'auth/jwt/login',
      { role: 'transit-bridge-kms', jwt: await issuer.token(...wanted) },
      { token: null },
    )
  const own = { namespace: 'kube-system', name: 'transit-bridge' }
  const { body } = await login(own)
  const token: string = body.auth.client_token
  t.match(await bao.request('POST', 'kube/encrypt/etcd', { plaintext }, { token }), { status: 200 })
  t.match(await bao.request('POST', 'kube/encrypt/new', { plaintext }, { token }), { status: 403 })
  t.match(await login({ ...own, expiresIn: -300 }), { status: 400 })
  t.match(await login({ ...own, audience: 'other' }), { status: 400 })
  t.match(await login({ ...own, name: 'other' }), { status: 400 })
})

void test('TLS, a client certificate, a renewal while it runs', async (t) => {
  const authority = await CertificateAuthority.create()
  const serving = await authority.server('openbao')
  const bao = await OpenBao.start({ tls: { ...serving, clientCaFile: authority.caFile } })
  t.teardown(() => bao.stop())
  await enableCertLogin(bao, {
    caPem: authority.caPem,
    commonNames: ['kms'],
    policies: ['default'],
  })
  // TLS goes through the TCP proxy.
  const proxy = await TcpProxy.start(bao.address)
  t.teardown(() => proxy.stop())
  const login = async (commonName: string): Promise<number> => {
    const files = await authority.client(commonName)
    const agent = new Agent({
      connect: {
        ca: authority.caPem,
        cert: await readFile(files.certFile, 'utf8'),
        key: await readFile(files.keyFile, 'utf8'),
      },
    })
    const answer = await request(`${proxy.address}/v1/auth/cert/login`, {
      method: 'POST',
      dispatcher: agent,
    })
    await answer.body.dump()
    await agent.destroy()
    return answer.statusCode
  }
  t.equal(await login('kms'), 200)
  t.equal(await login('other'), 400)
  await authority.server('openbao', { expiresIn: -60 })
  bao.reload()
  let failure: unknown
  for (let wait = 0; failure === undefined && wait < 100; wait += 1) {
    failure = await login('kms').then(
      () => undefined,
      (error: unknown) => error,
    )
  }
  t.match(failure, { code: 'CERT_HAS_EXPIRED' })
})
