import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { Secret } from '../../src/secret.ts'
import type { VaultRequest } from '../../src/vault/client/request.ts'
import { OpenBao, type OpenBaoOptions } from '../real/vault/openbao.ts'
import { CertificateAuthority } from '../real/host/pki.ts'
import { TcpProxy } from '../real/faults/tcp-proxy.ts'
import { eventually } from '../real/host/eventually.ts'
import { enableCertLogin, enableTransit, makeKey } from '../real/vault/transit-setup.ts'
import { clientFixture, failureOf, within } from './client-fixture.ts'

const PLAINTEXT = Buffer.from('a seed of 32 bytes, or near that').toString('base64')

async function startBao(t: Test, options: OpenBaoOptions = {}): Promise<OpenBao> {
  const bao = await OpenBao.start({ audit: false, ...options })
  t.teardown(() => bao.stop())
  await enableTransit(bao)
  await makeKey(bao, 'k8s-etcd')
  return bao
}

function post(bao: OpenBao, operation: 'encrypt' | 'decrypt', body: object): VaultRequest {
  const path = `transit/${operation}/k8s-etcd`
  return { operation, method: 'POST', path, body, token: new Secret(bao.rootToken) }
}

const encrypt = (bao: OpenBao) => post(bao, 'encrypt', { plaintext: PLAINTEXT })

void test('a real Vault over plain HTTP', async (t) => {
  const bao = await startBao(t)
  const { client } = clientFixture(t, [bao.address])
  const root = new Secret(bao.rootToken)
  const read = (path: string, more: Partial<VaultRequest> = {}) =>
    failureOf(
      client.request(
        { operation: 'read_key', method: 'GET', path, token: root, ...more },
        within(5000),
      ),
    )

  void t.test('encrypts and decrypts', async (s) => {
    const { body } = await client.request(encrypt(bao), within(5000))
    const { ciphertext } = (body as { data: { ciphertext: string } }).data
    const answer = await client.request(post(bao, 'decrypt', { ciphertext }), within(5000))
    s.match(answer, {
      status: 200,
      body: { data: { plaintext: Buffer.from(PLAINTEXT, 'base64') } },
    })
  })

  void t.test("its refusals have codes and Vault's messages", async (s) => {
    s.match(await read('transit/keys/other'), { code: 'VAULT_NOT_FOUND' })
    s.match(await read('nowhere/x'), { code: 'VAULT_NOT_FOUND', message: /no handler for route/ })
    s.match(await read('transit/keys/x', { token: new Secret('hvs.wrong') }), {
      code: 'VAULT_DENIED',
    })
    s.match(await read('transit/keys/x', { namespace: 'none' }), { code: 'VAULT_NOT_FOUND' })
    const broken = post(bao, 'decrypt', { ciphertext: 'vault:v9:AAAA' })
    const error = await failureOf(client.request(broken, within(5000)))
    s.match(error, { code: 'VAULT_REJECTED', message: /version is too new/ })
  })

  void t.test(
    'a batch with a broken item is an answer; one that it cannot parse is rejected',
    async (s) => {
      const mixed = post(bao, 'decrypt', { batch_input: [{ ciphertext: 'vault:v1:AAAA' }] })
      s.match(await client.request(mixed, within(5000)), {
        status: 400,
        body: { data: { batch_results: [{ error: String }] } },
      })
      const wrong = post(bao, 'decrypt', { batch_input: 'no list' })
      s.match(await failureOf(client.request(wrong, within(5000))), { code: 'VAULT_REJECTED' })
    },
  )

  void t.test('Vault ignores a uid', async (s) => {
    s.equal((await client.request(encrypt(bao), within(5000, { uid: 'u-1,u-2' }))).status, 200)
  })

  void t.test('a sealed Vault is reported as sealed', async (s) => {
    await bao.seal()
    const error = await failureOf(client.request(encrypt(bao), within(5000)))
    s.match(error, { code: 'VAULT_SEALED', message: /is sealed/ })
    await bao.unseal()
    s.equal((await client.request(encrypt(bao), within(5000))).status, 200)
  })
})

void test('a real Vault over TLS', async (t) => {
  const authority = await CertificateAuthority.create()
  const stranger = await CertificateAuthority.create('another CA')
  const files = await authority.server()
  const bao = await startBao(t, { tls: { ...files, clientCaFile: authority.caFile } })
  const folder = t.testdir()

  void t.test(
    '100 requests in a row take at most two handshakes, and many at once leave at most 64 connections',
    async (s) => {
      const proxy = await TcpProxy.start(bao.address)
      s.teardown(() => proxy.stop())
      const { client } = clientFixture(s, [proxy.address], { caFile: authority.caFile })
      for (let count = 0; count < 100; count += 1) await client.request(encrypt(bao), within(5000))
      s.ok(proxy.accepted <= 2, String(proxy.accepted))
      const many = Array.from({ length: 100 }, () => client.request(encrypt(bao), within(5000)))
      await Promise.all(many)
      // Not those that were accepted: on a slow machine, a request is sent again on another connection.
      await eventually('at most 64 connections', () => proxy.open <= 64)
    },
  )

  void t.test('connections that a firewall dropped cost one timeout, not one each', async (s) => {
    const proxy = await TcpProxy.start(bao.address)
    s.teardown(() => proxy.stop())
    const { client } = clientFixture(s, [proxy.address], {
      caFile: authority.caFile,
      timeoutMs: 500,
    })
    const many = Array.from({ length: 8 }, () => client.request(encrypt(bao), within(5000)))
    await Promise.all(many)
    await proxy.hang()
    await proxy.pass()
    const asked = client.request(encrypt(bao), within(5000))
    s.equal((await asked).status, 200)
  })

  void t.test('plain HTTP to it is explained', async (s) => {
    const { client } = clientFixture(s, [bao.address.replace('https:', 'http:')])
    const error = await failureOf(client.request(encrypt(bao), within(5000)))
    s.match(error, { code: 'VAULT_TLS_INVALID', message: /use https:\/\// })
  })

  void t.test('a client certificate that was replaced is the one that Vault sees', async (s) => {
    await enableCertLogin(bao, { policies: ['default'], caPem: authority.caPem })
    const certFile = join(folder, 'client.pem')
    const keyFile = join(folder, 'client.key')
    const use = async (from: CertificateAuthority) => {
      const made = await from.client('transit-bridge')
      await copyFile(made.keyFile, keyFile)
      await copyFile(made.certFile, certFile)
    }
    await use(stranger)
    const { client } = clientFixture(s, [bao.address], {
      caFile: authority.caFile,
      clientCertificate: { certFile, keyFile },
    })
    const login: VaultRequest = {
      operation: 'login',
      method: 'POST',
      path: 'auth/cert/login',
      body: {},
    }
    s.match(await failureOf(client.request(login, within(5000))), { message: /certificate/ })
    await use(authority)
    await client.refreshTls()
    s.match(await client.request(login, within(5000)), { body: { auth: { client_token: String } } })
  })

  void t.test(
    'an authority that is replaced while running is found without a failed request',
    async (s) => {
      const caFile = join(folder, 'ca.pem')
      await copyFile(authority.caFile, caFile)
      const { client } = clientFixture(s, [bao.address], { caFile })
      s.equal((await client.request(encrypt(bao), within(5000))).status, 200)
      await copyFile(stranger.caFile, caFile)
      await client.refreshTls()
      s.equal(
        (await failureOf(client.request(encrypt(bao), within(5000)))).code,
        'VAULT_TLS_INVALID',
      )
      await copyFile(authority.caFile, caFile)
      s.equal((await client.request(encrypt(bao), within(5000))).status, 200)
    },
  )
})

void test('two addresses, one of which is killed: no call fails', async (t) => {
  const bao = await startBao(t)
  const proxy = await TcpProxy.start(bao.address)
  t.teardown(() => proxy.stop())
  const { client } = clientFixture(t, [proxy.address, bao.address])
  const ask = async () => (await client.request(encrypt(bao), within(5000))).status
  t.equal(await ask(), 200)
  for (const fail of [() => proxy.refuse(), () => proxy.reset(), () => proxy.cut(40)]) {
    await fail()
    t.strictSame(await Promise.all([ask(), ask(), ask()]), [200, 200, 200])
    await proxy.pass()
  }
  await bao.kill()
  const error = await failureOf(client.request(encrypt(bao), within(5000)))
  t.equal(error.code, 'VAULT_UNREACHABLE')
  await bao.restart()
  t.equal(await ask(), 200)
})
