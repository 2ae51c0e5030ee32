import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { after, end, test } from 'tap'
import { parse } from 'yaml'
import type { CsiRule } from '../../src/config/config.ts'
import { parseProviderConfig } from '../../src/config/load.ts'
import { readManifests } from '../../src/csi/class/class-manifest.ts'
import { CertificateAuthority } from '../real/host/pki.ts'
import { certify, rotateKey } from '../real/vault/transit-setup.ts'
import { DocumentText, OperatorShell } from './document.ts'
import { PodVault, newPod } from './pod-vault.ts'
import { startFixture } from './fixture.ts'
import { startRuntime } from './runtime/fixture.ts'

const DOCUMENT = readFileSync(join(import.meta.dirname, '../../docs/csi.md'), 'utf8')

/** The text of the block of code behind a mark. */
function exampleOf(name: string): string {
  const pattern = new RegExp(`<!-- example: ${name} -->\\s+\`\`\`yaml\\n([^]*?)\`\`\``)
  const text = pattern.exec(DOCUMENT)?.[1]
  if (text === undefined) throw new Error(`docs/csi.md has no example ${name}`)
  return text
}

const vault = await PodVault.start()
const { rules } = parse(exampleOf('rules')) as { rules: CsiRule[] }
const [rule] = rules
const exporting = { ...rule, types: ['exportedKey', 'certificate'] } as CsiRule
const fixture = await startFixture(vault, { rules: [...rules, exporting] })
after(async () => {
  await fixture.stop()
  await vault.stop()
})
const authority = await CertificateAuthority.create()
await vault.makeKey('app-signing', 'ecdsa-p256')
await rotateKey(vault.bao, 'app-signing')
await certify(vault.bao, 'app-signing', authority)
await vault.makeKey('app-next', 'ed25519')
await vault.makeKey('app-data')
await vault.makeKey('app-exported', 'aes256-gcm96', { exportable: true })
await vault.makeKey('app-exported-tls', 'ecdsa-p256', { exportable: true })
await certify(vault.bao, 'app-exported-tls', authority)
const ciphertext = await vault.encrypt('app-data', 'hunter2')

const asBase64 = await vault.encrypt('app-data', Buffer.from('hunter2').toString('base64'))
const asJson = await vault.encrypt(
  'app-data',
  JSON.stringify({ db: { password: 'hunter2' }, tls: { cert: 'AAEC' } }),
)

async function mount(objects: string) {
  const filled = objects
    .replaceAll('vault:v1:REPLACE', ciphertext)
    .replaceAll('vault:v1:BASE64', asBase64)
    .replaceAll('vault:v1:JSON', asJson)
  return (await fixture.driver.mount({ attributes: await vault.attributes(newPod(), filled) }))
    .files
}

const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  publicKey: [
    'signing.pem',
    'signing.jwk',
    'first.der',
    'id.pub',
    'keys/signing/1',
    'keys/signing/2',
  ],
  jwks: ['jwks.json', 'both.json', 'named.json'],
  certificate: ['tls/chain.pem'],
  dataKey: ['db/dek'],
  decrypt: ['db/password'],
  exportedKey: ['material', 'all/1'],
  keyInfo: ['info.json'],
}

/** Examples besides the one of each type. */
const MORE: Readonly<Record<string, readonly string[]>> = {
  part: ['password', 'tls.der'],
  bundle: ['tls/both.pem'],
  template: ['app.json'],
  encodings: ['tls.der', 'tls.hex'],
}

for (const [type, paths] of Object.entries({ ...EXPECTED, ...MORE })) {
  void test(`the example of ${type} in docs/csi.md creates the files that it describes`, async (t) => {
    const files = await mount(exampleOf(type))
    t.same([...files.keys()], paths)
    for (const [path, { contents }] of files) t.ok(contents.byteLength > 0, path)
  })
}

void test('the template in docs/csi.md produces JSON', async (t) => {
  const files = await mount(exampleOf('template'))
  t.same(JSON.parse(String(files.get('app.json')?.contents)), { user: 'app', password: 'hunter2' })
})

void test('a value that is encrypted as docs/csi.md shows is mounted unchanged', async (t) => {
  const [, command = ''] = /plaintext="(\$\(.*hunter2.*\))"/.exec(DOCUMENT) ?? []
  t.not(command, '')
  for (const value of ['hunter2', 'a password of many words, '.repeat(8)]) {
    const quoted = command.replace('hunter2', `'${value}'`)
    const plaintext = execFileSync('sh', ['-c', `printf %s "${quoted}"`], { encoding: 'utf8' })
    const answer = await vault.bao.api('POST', 'transit/encrypt/app-data', { plaintext })
    const made = String(answer.data.ciphertext)
    const object = { path: 'x', type: 'decrypt', key: 'app-data', ciphertext: made }
    t.equal(String((await mount(JSON.stringify([object]))).get('x')?.contents), value)
  }
})

void test('the class in docs/csi.md is valid and mounts', async (t) => {
  const text = exampleOf('class').replace('vault:v1:REPLACE', ciphertext)
  const [manifest] = readManifests(text)
  t.match(manifest, { name: 'web', namespace: 'shop', faults: [], read: { role: 'web' } })
  const { spec } = parse(text) as { spec: { parameters: { objects: string } } }
  const files = await mount(spec.parameters.objects)
  t.same([...files.keys()], ['keys/signing.pem', 'jwks.json', 'db/password'])
  t.equal(String(files.get('db/password')?.contents), 'hunter2')
})

void test('the command in docs/csi.md creates a role for pods of its namespace only', async (t) => {
  const shell = await OperatorShell.open(vault.bao)
  shell.run(new DocumentText('csi.md').block('commands: role').replace('role/web ', 'role/shown '))
  const objects = [{ path: 'info', type: 'keyInfo', key: 'app-data' }]
  const mountAs = async (namespace: string) => {
    const pod = newPod({ namespace })
    const attributes = await vault.attributes(pod, objects, { role: 'shown' })
    return open.driver.mount({ attributes })
  }
  const open = await startFixture(vault)
  t.teardown(open.stop)
  t.equal((await mountAs('shop')).files.size, 1)
  await t.rejects(mountAs('bank'), { code: 'PERMISSION_DENIED' })
})

void test('the commands, values and configuration in docs/runtime.md let a pod sign, and nothing else', async (t) => {
  const document = new DocumentText('runtime.md')
  const shell = await OperatorShell.open(vault.bao)
  shell.run(document.block('commands: role'))
  const { config } = parseProviderConfig('runtime.md', document.block('example: configuration'), {})
  const { rules: allowed = [] } = config.csi ?? {}
  const values = parse(document.block('example: values')) as { csi: { rules: CsiRule[] } }
  t.match(allowed, values.csi.rules)
  const runtime = await startRuntime(vault, { rules: allowed })
  t.teardown(runtime.stop)
  const pod = newPod({ namespace: 'build', serviceAccount: 'signer' })
  const socket = await runtime.kubelet.publish(pod, { attributes: { role: 'signer' } })
  const body = { input: 'YQ==' }
  const signed = await socket.ask('transit/sign/release', { body })
  t.equal(signed.status, 200)
  const { signature } = signed.json.data
  for (const path of ['transit/verify/release', 'transit/verify/release/sha2-256'])
    t.match((await socket.ask(path, { body: { ...body, signature } })).json, {
      data: { valid: true },
    })
  t.equal((await socket.ask('transit/keys/release')).status, 200)
  t.equal((await socket.ask('transit/hmac/release', { body })).status, 403)
  const other = newPod({ namespace: 'build', serviceAccount: 'other' })
  await t.rejects(runtime.kubelet.publish(other, { attributes: { role: 'signer' } }))
})

void test('the SecretSync in csi-changes.md names a file as the sync controller accepts it', async (t) => {
  const document = new DocumentText('operations/csi-changes.md')
  const { spec } = parse(document.block('example: SecretSync')) as {
    spec: { secretObject: { data: { sourcePath: string }[] }; serviceAccountName: string }
  }
  // The pattern of its resource: api/secretsync/v1alpha1/secretsync_types.go.
  const accepted = /^[A-Za-z0-9.]([-A-Za-z0-9]+([-._a-zA-Z0-9]?[A-Za-z0-9])*)?(\/([0-9]+))*$/
  const [{ sourcePath } = { sourcePath: '' }] = spec.secretObject.data
  for (const path of [sourcePath, 'signing/1']) t.match(path, accepted)
  t.notMatch('db/password', accepted)
  const pod = newPod({ serviceAccount: spec.serviceAccountName, name: 'sync-controller-0' })
  const objects = [{ path: sourcePath, type: 'decrypt', key: 'app-data', ciphertext }]
  const attributes = await vault.attributes(pod, objects, {
    'csi.storage.k8s.io/serviceAccount.tokens': await vault.tokens(pod, { pod: null }),
  })
  const { files } = await fixture.driver.mount({ attributes, secrets: '{}' })
  t.equal(String(files.get(sourcePath)?.contents), 'hunter2')
})

/** The cells of a row of the table with the parameters of signatures. */
function signingRows(): readonly (readonly string[][])[] {
  const [, table = ''] = DOCUMENT.split('<!-- table: signing -->')
  const lines = table.split('\n## ')[0]?.split('\n') ?? []
  return lines
    .filter((line) => /^\| `[A-Z]/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text)),
    )
}

for (const [algorithms = [], [type = 'rsa-2048'] = [], parameters = []] of signingRows()) {
  for (const alg of algorithms) {
    void test(`a verifier accepts a token that Transit signs with the parameters of docs/csi.md for ${alg}`, async (t) => {
      const key = `app-jws-${alg.toLowerCase()}`
      await vault.makeKey(key, type)
      const jwks = { path: 'jwks', type: 'jwks', key, ...(type === 'rsa-2048' && { alg }) }
      const files = await mount(JSON.stringify([jwks]))
      const keys = createLocalJWKSet(JSON.parse(String(files.get('jwks')?.contents)))
      const hash = /(384|512)$/.exec(alg)?.[1]
      const options = Object.fromEntries(
        parameters
          .filter((text) => text.includes('=') && !text.startsWith('hash_algorithm'))
          .map((text) => text.split('=')),
      )
      const token = await signToken(key, alg, {
        ...options,
        ...(hash !== undefined && { hash_algorithm: `sha2-${hash}` }),
      })
      t.match(await jwtVerify(token, keys), { protectedHeader: { alg, kid: `${key}:1` } })
    })
  }
}

async function signToken(key: string, alg: string, options: object): Promise<string> {
  const parts = [{ alg, kid: `${key}:1` }, { sub: 'web' }]
  const input = parts
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  const body = { input: Buffer.from(input).toString('base64'), ...options }
  const answer = await vault.bao.api('POST', `transit/sign/${key}`, body)
  const signature = String(answer.data.signature).split(':')[2] ?? ''
  // Transit's default form is base64, and `jws` base64url.
  return `${input}.${Buffer.from(signature, 'base64').toString('base64url')}`
}

void test('the configuration in docs/csi.md is valid and has no login of the program itself', (t) => {
  const { config } = parseProviderConfig('csi.md', exampleOf('configuration'), {})
  t.equal(config.vault.auth, undefined)
  t.equal(config.csi?.rules.length, 1)
  t.end()
})

void test('every object type has an example', async (t) => {
  const { CSI_OBJECT_TYPES } = await import('../../src/config/config.ts')
  t.same(new Set(Object.keys(EXPECTED)), new Set(CSI_OBJECT_TYPES))
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
