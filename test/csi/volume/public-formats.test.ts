import { execFileSync } from 'node:child_process'
import { createHash, createPublicKey, verify } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { calculateJwkThumbprint, type JSONWebKeySet, type JWK } from 'jose'
import { after, end, test } from 'tap'
import { PodVault, newPod } from '../pod-vault.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { rotateKey } from '../../real/vault/transit-setup.ts'
import { failure, startFixture } from '../fixture.ts'

const vault = await PodVault.start()
const fixture = await startFixture(vault)
after(async () => {
  await fixture.stop()
  await vault.stop()
})

async function mount(objects: readonly object[], pod = newPod()) {
  const attributes = await vault.attributes(pod, objects)
  const { files, versions } = await fixture.driver.mount({ attributes })
  const text = (path: string) => String(files.get(path)?.contents)
  const jwks = (path: string) => JSON.parse(text(path)) as JSONWebKeySet
  return { files, versions, text, jwks }
}

await vault.makeKey('app-a', 'ecdsa-p256')
await rotateKey(vault.bao, 'app-a')
await vault.makeKey('app-b', 'ed25519')
await vault.makeKey('app-rsa', 'rsa-2048')

void test('a JWK set has the keys of several Transit keys, in the order of the class', async (t) => {
  const { jwks, versions } = await mount([
    { path: 'all', type: 'jwks', keys: ['app-b', 'app-a', 'app-rsa'], alg: 'PS256' },
    { path: 'one', type: 'jwks', keys: ['app-a'] },
    { path: 'same', type: 'jwks', key: 'app-a' },
  ])
  t.match(jwks('all').keys, [
    { kid: 'app-b:1', alg: 'EdDSA' },
    { kid: 'app-a:1', alg: 'ES256' },
    { kid: 'app-a:2', alg: 'ES256' },
    { kid: 'app-rsa:1', alg: 'PS256' },
  ])
  t.same(jwks('one'), jwks('same'))
  t.equal(versions.get('one'), versions.get('same'))
  await rotateKey(vault.bao, 'app-b')
  const later = await startFixture(vault, { refreshIntervalMs: 1_000 })
  const objects = [{ path: 'all', type: 'jwks', keys: ['app-b', 'app-a', 'app-rsa'], alg: 'PS256' }]
  const changed = await later.driver.mount({
    attributes: await vault.attributes(newPod(), objects),
  })
  t.not(
    changed.versions.get('all'),
    versions.get('all'),
    'a rotation of one key changes the version',
  )
  await later.stop()
})

void test('alg without an RSA key is refused, and a missing key fails or omits the set', async (t) => {
  const several = { path: 'x', type: 'jwks', keys: ['app-a', 'app-none'] }
  t.match(await failure(mount([several])), {
    code: 'NOT_FOUND',
    message: /^objects\[0\] \(x\): Vault has no transit key app-none at mount transit; correct/,
  })
  const { files } = await mount([
    { ...several, optional: true },
    { path: 'y', type: 'keyInfo', key: 'app-a' },
  ])
  t.same([...files.keys()], ['y'])
  t.match(
    await failure(mount([{ path: 'x', type: 'jwks', keys: ['app-a', 'app-b'], alg: 'RS256' }])),
    {
      code: 'FAILED_PRECONDITION',
      message:
        /transit key app-a has type ecdsa-p256, whose algorithm is ES256; alg is only for RSA/,
    },
  )
})

void test('kid is the thumbprint that jose also computes, or a text with placeholders', async (t) => {
  const keys = ['app-a', 'app-b', 'app-rsa']
  const { jwks, text } = await mount([
    { path: 'thumb', type: 'jwks', keys, kid: 'thumbprint' },
    {
      path: 'text',
      type: 'jwks',
      keys,
      kid: 'https://shop.example/{{key}}#{{ version }}{{ "{{" }}',
    },
    { path: 'one', type: 'jwks', key: 'app-a', kid: 'v{{ version }}' },
    { path: 'jwk', type: 'publicKey', key: 'app-a', format: 'jwk', kid: 'thumbprint' },
  ])
  for (const key of jwks('thumb').keys) {
    const { kid, ...rest } = key
    t.equal(kid, await calculateJwkThumbprint(rest as JWK))
  }
  const { kid: last } = jwks('thumb').keys[2] ?? {}
  t.match(jwks('text').keys[0], { kid: 'https://shop.example/app-a#1{{' })
  t.same(
    jwks('one').keys.map(({ kid }) => kid),
    ['v1', 'v2'],
  )
  t.equal((JSON.parse(text('jwk')) as JWK).kid, jwks('thumb').keys[1]?.kid)
  t.not(last, undefined)
})

void test('two keys with one kid are refused', async (t) => {
  await vault.makeKey('k', 'ed25519')
  for (let version = 1; version < 11; version += 1) await rotateKey(vault.bao, 'k')
  await vault.makeKey('k1', 'ed25519')
  const keys = ['k', 'k1']
  t.match(await failure(mount([{ path: 'x', type: 'jwks', keys, kid: '{{key}}{{version}}' }])), {
    code: 'FAILED_PRECONDITION',
    message: 'objects[0] (x): two keys have the kid k11; change kid, or remove one of the keys',
  })
})

function sshKeygen(args: readonly string[], folder: string): string {
  return execFileSync('ssh-keygen', args, { cwd: folder, encoding: 'utf8' })
}

const SSH: readonly (readonly [string, string, string])[] = [
  ['rsa-2048', 'ssh-rsa', '2048 .* \\(RSA\\)'],
  ['rsa-4096', 'ssh-rsa', '4096 .* \\(RSA\\)'],
  ['ecdsa-p256', 'ecdsa-sha2-nistp256', '256 .* \\(ECDSA\\)'],
  ['ecdsa-p384', 'ecdsa-sha2-nistp384', '384 .* \\(ECDSA\\)'],
  ['ecdsa-p521', 'ecdsa-sha2-nistp521', '521 .* \\(ECDSA\\)'],
  ['ed25519', 'ssh-ed25519', '256 .* \\(ED25519\\)'],
]

for (const [type, name, listed] of SSH) {
  void test(`ssh-keygen reads the OpenSSH public key of ${type}`, async (t) => {
    const key = `ssh-${type}`
    await vault.makeKey(key, type)
    const { text } = await mount([
      { path: 'id.pub', type: 'publicKey', key, format: 'openssh', comment: 'web@shop example' },
      { path: 'bare.pub', type: 'publicKey', key, format: 'openssh' },
      { path: 'key.pem', type: 'publicKey', key },
    ])
    t.match(text('id.pub'), new RegExp(`^${name} [A-Za-z0-9+/]+={0,2} web@shop example\n$`))
    t.equal(text('id.pub'), text('bare.pub').replace('\n', ' web@shop example\n'))
    const folder = tempFolder('ssh')
    writeFileSync(join(folder, 'id.pub'), text('id.pub'))
    const [, blob = ''] = text('id.pub').split(' ')
    const print = createHash('sha256').update(Buffer.from(blob, 'base64')).digest('base64')
    const line = sshKeygen(['-l', '-f', 'id.pub'], folder)
    t.match(line, new RegExp(`^${listed}`))
    t.ok(line.includes(`SHA256:${print.replaceAll('=', '')} web@shop example`), line)
    if (type === 'ed25519') {
      const der = createPublicKey(text('key.pem')).export({ type: 'spki', format: 'der' })
      t.same(Buffer.from(blob, 'base64').subarray(-32), der.subarray(-32))
    } else {
      const pem = sshKeygen(['-e', '-m', 'PKCS8', '-f', 'id.pub'], folder)
      t.ok(createPublicKey(pem).equals(createPublicKey(text('key.pem'))), 'it is the same key')
    }
  })
}

void test('a key without a public key has no OpenSSH key, and each version has its own file', async (t) => {
  await vault.makeKey('none')
  t.match(
    await failure(mount([{ path: 'x', type: 'publicKey', key: 'none', format: 'openssh' }])),
    {
      code: 'FAILED_PRECONDITION',
      message: 'objects[0] (x): transit key none has type aes256-gcm96, which has no public key',
    },
  )
  const { files } = await mount([
    { path: 'all', type: 'publicKey', key: 'app-a', format: 'openssh', version: 'all' },
  ])
  t.same([...files.keys()], ['all/1', 'all/2'])
})

void test('a derived key has the public keys of its context, which verify what Transit signs with it', async (t) => {
  const key = 'derived'
  const contexts = ['shop', 'bank+/=?&'].map((text) => Buffer.from(text).toString('base64'))
  const [shop = '', bank = ''] = contexts
  await vault.makeKey(key, 'ed25519', { derived: true })
  await rotateKey(vault.bao, key)
  const { text, jwks, versions } = await mount([
    { path: 'shop', type: 'publicKey', key, context: shop },
    { path: 'bank', type: 'publicKey', key, context: bank },
    { path: 'all', type: 'publicKey', key, context: shop, version: 'all' },
    { path: 'jwks', type: 'jwks', key, context: bank },
    { path: 'info', type: 'keyInfo', key },
  ])
  for (const [path, context] of [
    ['shop', shop],
    ['bank', bank],
  ] as const) {
    const input = Buffer.from('signed in transit')
    const answer = await vault.bao.api('POST', `transit/sign/${key}`, {
      context,
      input: input.toString('base64'),
    })
    const signature = Buffer.from(String(answer.data.signature).split(':')[2] ?? '', 'base64')
    t.ok(verify(null, input, text(path), signature), path)
    const other = path === 'shop' ? 'bank' : 'shop'
    t.notOk(verify(null, input, text(other), signature), `${path} with the key of ${other}`)
  }
  t.equal(text('all/2'), text('shop'))
  t.match(jwks('jwks').keys, [{ kid: 'derived:1' }, { kid: 'derived:2', alg: 'EdDSA' }])
  const spki = createPublicKey(text('bank'))
  t.equal(jwks('jwks').keys[1]?.x, spki.export({ format: 'jwk' }).x)
  t.not(versions.get('shop'), versions.get('bank'))
})

void test('a context of a key that is not derived, or of a symmetric one, is refused', async (t) => {
  const context = Buffer.from('shop').toString('base64')
  t.match(await failure(mount([{ path: 'x', type: 'publicKey', key: 'app-b', context }])), {
    code: 'FAILED_PRECONDITION',
    message: 'objects[0] (x): transit key app-b is not derived; remove context',
  })
  await vault.makeKey('derived-aes', 'aes256-gcm96', { derived: true })
  t.match(await failure(mount([{ path: 'x', type: 'jwks', key: 'derived-aes', context }])), {
    code: 'FAILED_PRECONDITION',
    message:
      'objects[0] (x): transit key derived-aes has type aes256-gcm96, which has no public key',
  })
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
