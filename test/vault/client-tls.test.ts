import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises'
import type { ServerOptions } from 'node:https'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { test, type Test } from 'tap'
import { CertificateAuthority, type CertificateFiles } from '../real/host/pki.ts'
import { clientFixture, decrypt, failureOf, within } from './client-fixture.ts'
import { LocalVault, answer } from './local-vault.ts'

const good = answer(200, { data: {} })

async function serve(files: CertificateFiles, more: ServerOptions = {}): Promise<ServerOptions> {
  const [cert, key] = await Promise.all([readFile(files.certFile), readFile(files.keyFile)])
  return { cert, key, ...more }
}

async function startTls(t: Test, authority: CertificateAuthority, more: ServerOptions = {}) {
  return LocalVault.start(t, good, await serve(await authority.server(), more))
}

void test('a private authority', async (t) => {
  const authority = await CertificateAuthority.create()
  const other = await CertificateAuthority.create('another CA')
  const vault = await startTls(t, authority)
  const ask = async (caFile?: string) => {
    const { client } = clientFixture(t, [vault.address], { caFile })
    return client.request(decrypt, within(5000))
  }

  void t.test('is trusted when caFile holds it, alone or among others', async (s) => {
    s.equal((await ask(authority.caFile)).status, 200)
    const both = join(s.testdir(), 'ca.pem')
    await writeFile(both, `${other.caPem}\n# comment\n${authority.caPem}`)
    s.equal((await ask(both)).status, 200)
  })

  void t.test('is not trusted otherwise, and no request is made', async (s) => {
    const asked = vault.requests.length
    for (const caFile of [undefined, other.caFile]) {
      const error = await failureOf(ask(caFile))
      s.equal(error.code, 'VAULT_TLS_INVALID')
      s.match(error.message, `Vault at ${vault.address}`)
      s.match(error.message, 'set vault.caFile')
    }
    s.equal(vault.requests.length, asked)
  })

  void t.test('is not trusted just because the environment says so', async (s) => {
    s.intercept(process, 'env', {
      value: { ...process.env, VAULT_SKIP_VERIFY: 'true', NODE_TLS_REJECT_UNAUTHORIZED: '0' },
    })
    s.equal((await failureOf(ask())).code, 'VAULT_TLS_INVALID')
  })

  void t.test('one handshake serves many requests', async (s) => {
    const { client } = clientFixture(s, [vault.address], { caFile: authority.caFile })
    const before = vault.sockets.length
    for (let count = 0; count < 20; count += 1) await client.request(decrypt, within(5000))
    s.ok(vault.sockets.length - before <= 2)
  })
})

void test('the certificate of Vault', async (t) => {
  const authority = await CertificateAuthority.create()
  const { caFile } = authority

  void t.test('that has expired is reported as expired', async (s) => {
    const files = await authority.server('old', { expiresIn: -60 })
    const vault = await LocalVault.start(s, good, await serve(files))
    const { client } = clientFixture(s, [vault.address], { caFile })
    const error = await failureOf(client.request(decrypt, within(5000)))
    s.equal(error.code, 'VAULT_TLS_INVALID')
    s.match(error.message, 'validity period')
  })

  void t.test('is checked for each connection: TLS sessions are not resumed', async (s) => {
    const vault = await startTls(s, authority)
    const { client } = clientFixture(s, [vault.address], { caFile })
    await client.request(decrypt, within(5000))
    await Promise.all(vault.sockets.map((socket) => once(socket.end(), 'close')))
    await client.request(decrypt, within(5000))
    s.equal(vault.sockets.length, 2)
    s.equal((vault.sockets.at(-1) as TLSSocket).isSessionReused(), false)
  })

  void t.test(
    'is checked against serverName when that is given, and it is sent as SNI',
    async (s) => {
      const names: string[] = []
      const files = await serve(await authority.server('named', { names: ['vault.internal'] }))
      const vault = await LocalVault.start(s, good, {
        ...files,
        SNICallback: (name, done) => {
          names.push(name)
          done(null)
        },
      })
      const { client } = clientFixture(s, [vault.address], { caFile, serverName: 'vault.internal' })
      s.equal((await client.request(decrypt, within(5000))).status, 200)
      s.strictSame(names, ['vault.internal'])
      const wrong = clientFixture(s, [vault.address], { caFile, serverName: 'other.internal' })
      const error = await failureOf(wrong.client.request(decrypt, within(5000)))
      s.equal(error.code, 'VAULT_TLS_INVALID')
      s.match(error.message, 'vault.serverName')
    },
  )

  void t.test('does not matter at another, trusted address', async (s) => {
    const wrong = await startTls(s, await CertificateAuthority.create('another CA'))
    const right = await startTls(s, authority)
    const { client } = clientFixture(s, [wrong.address, right.address], { caFile })
    s.equal((await client.request(decrypt, within(5000))).status, 200)
    s.equal((await client.request(decrypt, within(5000))).status, 200)
    s.equal(wrong.requests.length, 0)
  })
})

void test('the wrong scheme is explained', async (t) => {
  const plain = await LocalVault.start(t, good)
  const https = clientFixture(t, [plain.address.replace('http:', 'https:')])
  const noTls = await failureOf(https.client.request(decrypt, within(5000)))
  t.equal(noTls.code, 'VAULT_TLS_INVALID')
  t.match(noTls.message, 'responds without TLS; use http://')
})

void test('TLS files', async (t) => {
  const first = await CertificateAuthority.create('first CA')
  const second = await CertificateAuthority.create('second CA')

  void t.test(
    'that are missing or broken at the start fail each request until they are fixed',
    async (s) => {
      const vault = await startTls(s, first)
      const caFile = join(s.testdir(), 'ca.pem')
      const { client, lines } = clientFixture(s, [vault.address], { caFile })
      for (const [text, words] of [
        [undefined, 'cannot be read (ENOENT); write the file, or correct the path'],
        ['', 'contains no PEM certificate'],
        [
          '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
          'contains an invalid certificate',
        ],
      ] as const) {
        if (text !== undefined) await writeFile(caFile, text)
        for (const _ of [1, 2]) {
          const error = await failureOf(client.request(decrypt, within(5000)))
          s.equal(error.code, 'VAULT_TLS_INVALID')
          s.equal(error.message, `vault.caFile: ${caFile} ${words}`)
        }
      }
      s.equal(lines.filter(({ level }) => level === 'warn').length, 3)
      await copyFile(first.caFile, caFile)
      s.equal((await client.request(decrypt, within(5000))).status, 200)
    },
  )

  void t.test('an authority that was replaced is found when the old one fails', async (s) => {
    const vault = await startTls(s, first)
    const caFile = join(s.testdir(), 'ca.pem')
    await copyFile(first.caFile, caFile)
    const { client } = clientFixture(s, [vault.address], { caFile })
    await client.request(decrypt, within(5000))
    vault.useTls(await serve(await second.server()))
    await copyFile(second.caFile, caFile)
    for (const socket of vault.sockets) socket.destroy()
    s.equal((await client.request(decrypt, within(5000))).status, 200)
  })

  void t.test(
    'that go missing or break later leave the last valid ones in use, reported once',
    async (s) => {
      const vault = await startTls(s, first)
      const caFile = join(s.testdir(), 'ca.pem')
      await copyFile(first.caFile, caFile)
      const { client, lines } = clientFixture(s, [vault.address], { caFile })
      await client.request(decrypt, within(5000))
      await rm(caFile)
      await client.refreshTls()
      await client.refreshTls()
      s.equal((await client.request(decrypt, within(5000))).status, 200)
      s.match(lines, [
        { level: 'warn', code: 'VAULT_TLS_INVALID', reason: /vault\.caFile.*ENOENT/ },
      ])
      s.equal(lines.length, 1)
      await copyFile(first.caFile, caFile)
      await client.refreshTls()
      s.match(lines.at(-1), { level: 'info', msg: 'tls files are valid again' })
    },
  )

  void t.test(
    'that did not change keep their connections; that changed get new ones',
    async (s) => {
      const vault = await startTls(s, first)
      const caFile = join(s.testdir(), 'ca.pem')
      await copyFile(first.caFile, caFile)
      const { client } = clientFixture(s, [vault.address], { caFile })
      await client.request(decrypt, within(5000))
      await client.refreshTls()
      await client.request(decrypt, within(5000))
      const before = vault.sockets.length
      s.ok(before <= 2)
      await writeFile(caFile, first.caPem + second.caPem)
      await client.refreshTls()
      await client.request(decrypt, within(5000))
      s.equal(vault.sockets.length, before + 1)
    },
  )

  void t.test(
    'a request that is under way when they change ends on its old connection',
    async (s) => {
      const vault = await startTls(s, first)
      const caFile = join(s.testdir(), 'ca.pem')
      await copyFile(first.caFile, caFile)
      const { client } = clientFixture(s, [vault.address], { caFile })
      let release = () => {}
      const asked = new Promise<void>((resolve) => {
        vault.handle = (...given) => {
          vault.handle = good
          release = () => good(...given)
          resolve()
        }
      })
      const pending = client.request(decrypt, within(5000))
      await asked
      await writeFile(caFile, first.caPem + second.caPem)
      await client.refreshTls()
      s.equal((await client.request(decrypt, within(5000))).status, 200)
      release()
      s.equal((await pending).status, 200)
      s.equal(vault.requests.length, 2)
    },
  )
})

void test('a client certificate', async (t) => {
  const authority = await CertificateAuthority.create()
  const stranger = await CertificateAuthority.create('another CA')
  const { caFile } = authority
  const vault = await startTls(t, authority, { requestCert: true, ca: authority.caPem })
  const folder = t.testdir()
  const files = { certFile: join(folder, 'client.pem'), keyFile: join(folder, 'client.key') }
  const use = async (from: { certFile: string; keyFile: string }) => {
    await copyFile(from.keyFile, files.keyFile)
    await copyFile(from.certFile, files.certFile)
  }

  void t.test('is sent; one that was replaced is found when the old one is refused', async (s) => {
    await use(await authority.client('transit-bridge'))
    const { client } = clientFixture(s, [vault.address], { caFile, clientCertificate: files })
    s.equal((await client.request(decrypt, within(5000))).status, 200)
    await use(await stranger.client('transit-bridge'))
    await client.refreshTls()
    // Node closes the connection where Go would send an alert; see client-openbao for that.
    s.equal((await failureOf(client.request(decrypt, within(5000)))).code, 'VAULT_UNREACHABLE')
    await use(await authority.client('transit-bridge'))
    s.equal((await client.request(decrypt, within(5000))).status, 200)
  })

  void t.test('has its expiry in the metrics, as the authority has', async (s) => {
    await use(await authority.client('short', { expiresIn: 600 }))
    const { client, metrics } = clientFixture(s, [vault.address], {
      caFile,
      clientCertificate: files,
    })
    const expiry = async () => (await metrics.clientCertificateExpiry.get()).values[0]?.value
    s.equal(await expiry(), undefined, 'unknown before the first read')
    const end = async (file: string) =>
      Date.parse(new X509Certificate(await readFile(file)).validTo) / 1000
    await client.request(decrypt, within(5000))
    s.equal(await expiry(), await end(files.certFile))
    const [start] = (await metrics.clientCertificateStart.get()).values
    s.ok(Number(start?.value) < Number(await expiry()))
    s.equal((await metrics.caExpiry.get()).values[0]?.value, await end(caFile))
    const before = await expiry()
    await use(await authority.client('long', { expiresIn: 6_000 }))
    await client.refreshTls()
    s.equal(await expiry(), await end(files.certFile))
    s.not(await expiry(), before)
    const without = clientFixture(s, ['http://127.0.0.1:1'])
    await failureOf(without.client.request(decrypt, within(100)))
    s.same((await without.metrics.caExpiry.get()).values, [])
  })

  void t.test(
    'with the key of another certificate is not used, and the message names the key',
    async (s) => {
      const one = await authority.client('one')
      const two = await authority.client('two')
      const mixed = { certFile: one.certFile, keyFile: two.keyFile }
      const { client } = clientFixture(s, [vault.address], { caFile, clientCertificate: mixed })
      const error = await failureOf(client.request(decrypt, within(5000)))
      s.equal(
        error.message,
        `vault.auth.keyFile: ${two.keyFile} does not match vault.auth.certFile`,
      )
    },
  )

  void t.test('with an invalid key is reported without any part of the key', async (s) => {
    const { certFile } = await authority.client('three')
    const keyFile = join(s.testdir(), 'broken.key')
    await writeFile(keyFile, '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n')
    const { client } = clientFixture(s, [vault.address], {
      caFile,
      clientCertificate: { certFile, keyFile },
    })
    const error = await failureOf(client.request(decrypt, within(5000)))
    s.match(error.message, 'vault.auth.keyFile')
    s.notMatch(`${error.message} ${String(error.cause)}`, 'c2VjcmV0')
  })
})

void test('a redirect never leads from https to http, not even to a configured address', async (t) => {
  const authority = await CertificateAuthority.create()
  const plain = await LocalVault.start(t, good)
  const secure = await startTls(t, authority)
  secure.handle = answer(307, '', { Location: `${plain.address}/v1/x` })
  const { client } = clientFixture(t, [secure.address, plain.address], { caFile: authority.caFile })
  await client.request(decrypt, within(5000))
  t.equal(
    plain.requests[0]?.url,
    '/v1/transit/decrypt/k8s-etcd',
    'asked on its own, not by the redirect',
  )
  const alone = clientFixture(t, [secure.address], { caFile: authority.caFile })
  const error = await failureOf(alone.client.request(decrypt, within(5000)))
  t.equal(error.code, 'VAULT_REDIRECT_REFUSED')
  t.match(error.message, `${plain.address}, which does not use TLS`)
})
