import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, end, test } from 'tap'
import { PodVault, newPod } from '../pod-vault.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { certify, rotateKey } from '../../real/vault/transit-setup.ts'
import { failure, startFixture } from '../fixture.ts'

const vault = await PodVault.start()
const fixture = await startFixture(vault)
const eager = await startFixture(vault, { refreshIntervalMs: 0, revalidateAfterMs: 0 })
after(async () => {
  await fixture.stop()
  await eager.stop()
  await vault.stop()
})
await vault.makeKey('app')
await vault.makeKey('tls', 'ecdsa-p256', { exportable: true })
await certify(vault.bao, 'tls', await CertificateAuthority.create())

async function mount(objects: readonly object[], from = fixture) {
  const answer = await from.driver.mount({ attributes: await vault.attributes(newPod(), objects) })
  const text = (path: string) => String(answer.files.get(path)?.contents)
  return { ...answer, text }
}

async function secret(name: string, value: string | Buffer, more: object = {}) {
  return {
    name,
    type: 'decrypt',
    key: 'app',
    ciphertext: await vault.encrypt('app', value),
    ...more,
  }
}

const KEY = { name: 'key', type: 'exportedKey', key: 'tls' }
const CHAIN = { name: 'chain', type: 'certificate', key: 'tls' }

void test('key and chain are mounted in one PEM file, which openssl serves TLS with', async (t) => {
  const { files, text } = await mount([
    KEY,
    CHAIN,
    { path: 'tls/both.pem', type: 'bundle', of: ['key', 'chain'], mode: '0400' },
  ])
  t.same([...files.keys()], ['tls/both.pem'], 'objects without a path are not mounted')
  t.equal(files.get('tls/both.pem')?.mode, 0o400)
  const pem = text('tls/both.pem')
  const certificate = new X509Certificate(pem.slice(pem.indexOf('-----BEGIN CERTIFICATE')))
  t.ok(certificate.checkPrivateKey(createPrivateKey(pem)))
  const folder = tempFolder('bundle')
  writeFileSync(join(folder, 'both.pem'), pem)
  const parts = execFileSync('openssl', ['storeutl', '-noout', '-text', 'both.pem'], {
    cwd: folder,
    encoding: 'utf8',
  })
  t.match(parts, /Pkey[^]*Certificate[^]*Certificate[^]*Total found: 3/)
})

void test('each part of a bundle starts on a new line, and versions follow each other', async (t) => {
  await vault.makeKey('many', 'ed25519')
  await rotateKey(vault.bao, 'many')
  const { text } = await mount([
    await secret('one', 'a'),
    await secret('two', 'b\n'),
    await secret('none', ''),
    { name: 'keys', path: 'keys', type: 'publicKey', key: 'many', version: 'all' },
    { path: 'x', type: 'bundle', of: ['one', 'none', 'two', 'one', 'keys'] },
  ])
  t.equal(text('x'), `a\nb\na\n${text('keys/1')}${text('keys/2')}`)
})

void test('a template inserts values as text, base64, hex and JSON, and nothing else', async (t) => {
  const { text } = await mount([
    await secret('user', 'web'),
    await secret('password', 'a"b\\c\n{{ user }}grüß'),
    await secret('bytes', Buffer.from([0, 255])),
    { name: 'jwks', path: 'jwks.json', type: 'jwks', key: 'tls' },
    {
      path: 'app.conf',
      type: 'template',
      text: 'user={{ user }}\npassword={{password|json}}\n{{ bytes | base64 }} {{ bytes | hex }}\n{{ "{{" }} }} }\n{{ user }}{{ jwks }}',
    },
  ])
  t.equal(
    text('app.conf'),
    `user=web\npassword="a\\"b\\\\c\\n{{ user }}grüß"\nAP8= 00ff\n{{ }} }\nweb${text('jwks.json')}`,
  )
})

void test('the object version follows the parts, the text and the order, and reveals nothing', async (t) => {
  const user = await secret('user', 'web')
  const password = await secret('password', 'hunter2')
  const other = { ...password, ...(await secret('password', 'hunter3')) }
  const template = (text: string) => ({ path: 'x', type: 'template', text })
  const bundle = (...of: string[]) => ({ path: 'x', type: 'bundle', of })
  const classes = [
    [user, password, template('{{ user }} {{ password }}')],
    [user, password, template('{{ user }}  {{ password }}')],
    [user, password, template('{{ user }} {{ password | hex }}')],
    [user, other, template('{{ user }} {{ password }}')],
    [user, password, bundle('user', 'password')],
    [user, password, bundle('password', 'user')],
    [user, other, bundle('user', 'password')],
  ]
  const versions = async () => {
    const answers = await Promise.all(classes.map((objects) => mount(objects)))
    return answers.map((answer) => answer.versions.get('x'))
  }
  const first = await versions()
  t.equal(new Set(first).size, classes.length)
  t.same(await versions(), first)
})

void test('a rotation of a part changes the bundle', async (t) => {
  await vault.makeKey('rotated', 'aes256-gcm96', { exportable: true })
  const objects = [
    { name: 'key', type: 'exportedKey', key: 'rotated', encoding: 'hex' },
    { path: 'x', type: 'bundle', of: ['key'] },
  ]
  const before = await mount(objects, eager)
  await rotateKey(vault.bao, 'rotated')
  const later = await mount(objects, eager)
  t.not(later.text('x'), before.text('x'))
  t.not(later.versions.get('x'), before.versions.get('x'))
})

void test('a republish creates the same files from the cache', async (t) => {
  const objects = [await secret('a', 'x'), { path: 'x', type: 'template', text: '<{{ a }}>' }]
  const pod = newPod()
  const attributes = await vault.attributes(pod, objects)
  const first = await fixture.driver.mount({ attributes })
  const mark = vault.bao.auditMark()
  const second = await fixture.driver.mount({ attributes })
  t.same(second, first)
  t.equal(String(second.files.get('x')?.contents), '<x>')
  t.same(vault.bao.auditRequests({ since: mark }), [])
})

void test('a part that is absent or fails is reported once, with all that it affects', async (t) => {
  const bundle = { path: 'x', type: 'bundle', of: ['key', 'chain'] }
  const absent = { ...CHAIN, key: 'none' }
  t.match(await failure(mount([KEY, absent, bundle])), {
    code: 'NOT_FOUND',
    message:
      /^objects\[1\] \(chain\), objects\[2\] \(x\): Vault has no transit key none at mount transit; [^(]*$/,
  })
  t.match(await failure(mount([KEY, { ...absent, optional: true }, bundle])), {
    code: 'NOT_FOUND',
    message: 'objects[2] (x): needs objects[1] (chain), which does not exist',
  })
  const info = { path: 'info', type: 'keyInfo', key: 'tls' }
  const { files } = await mount([
    KEY,
    { ...absent, optional: true },
    { ...bundle, optional: true },
    info,
  ])
  t.same([...files.keys()], ['info'])
  const wrong = { name: 'key', type: 'exportedKey', key: 'app' }
  t.match(await failure(mount([{ ...bundle, of: ['key'] }, wrong])), {
    code: 'FAILED_PRECONDITION',
    message: /^objects\[0\] \(x\), objects\[1\] \(key\): .*not exportable/,
  })
})

void test('bytes that are not text are refused where text is needed', async (t) => {
  const bytes = await secret('bytes', Buffer.from([255]))
  t.match(await failure(mount([bytes, { path: 'x', type: 'bundle', of: ['bytes'] }])), {
    code: 'FAILED_PRECONDITION',
    message:
      'objects[1] (x): objects[0] (bytes) is not UTF-8 text; use encoding: base64 in that object',
  })
  for (const text of ['{{ bytes }}', '{{ bytes | json }}']) {
    t.match(await failure(mount([bytes, { path: 'x', type: 'template', text }])), {
      code: 'FAILED_PRECONDITION',
      message: 'objects[1] (x): objects[0] (bytes) is not UTF-8 text; write {{ bytes | base64 }}',
    })
  }
})

void test('a class that repeats a large value is refused before any file is made', async (t) => {
  const large = await secret('large', 'x'.repeat(40_000))
  const templates = Array.from({ length: 8 }, (_none, index) => ({
    path: `t${String(index)}`,
    type: 'template',
    text: '{{ large }}'.repeat(100),
  }))
  t.match(await failure(mount([large, ...templates])), {
    code: 'FAILED_PRECONDITION',
    message: /^the volume would have at least 31250 KiB, more than 1024 KiB; split its objects/,
  })
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
