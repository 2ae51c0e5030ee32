import { execFileSync } from 'node:child_process'
import {
  createPrivateKey,
  createPublicKey,
  createSign,
  createVerify,
  sign,
  verify,
} from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLocalJWKSet, flattenedVerify, type JSONWebKeySet } from 'jose'
import { after, end, test } from 'tap'
import { PodVault, newPod } from '../pod-vault.ts'
import { usesVault } from '../../real/vault/openbao.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { configKey, rotateKey } from '../../real/vault/transit-setup.ts'
import { failure, startFixture } from '../fixture.ts'

const vault = await PodVault.start()
const fixture = await startFixture(vault)
after(async () => {
  await fixture.stop()
  await vault.stop()
})

async function mount(objects: readonly object[], pod = newPod()) {
  return fixture.driver.mount({ attributes: await vault.attributes(pod, objects) })
}

interface SigningCase {
  readonly type: string
  readonly alg: string
  readonly sign: Record<string, unknown>
}

const SIGNING: readonly SigningCase[] = [
  ...['rsa-2048', 'rsa-3072', 'rsa-4096'].map((type) => ({
    type,
    alg: 'RS256',
    sign: { signature_algorithm: 'pkcs1v15', hash_algorithm: 'sha2-256' },
  })),
  { type: 'ecdsa-p256', alg: 'ES256', sign: { hash_algorithm: 'sha2-256' } },
  { type: 'ecdsa-p384', alg: 'ES384', sign: { hash_algorithm: 'sha2-384' } },
  { type: 'ecdsa-p521', alg: 'ES512', sign: { hash_algorithm: 'sha2-512' } },
  { type: 'ed25519', alg: 'EdDSA', sign: {} },
]

/** Signs as an issuer of tokens does: Transit makes the signature in JWS form. */
async function signJws(key: string, { alg, sign: how }: SigningCase) {
  const info = await vault.bao.api('GET', `transit/keys/${key}`)
  const header = { alg, kid: `${key}:${String(info.data.latest_version)}` }
  const encoded = Buffer.from(JSON.stringify(header)).toString('base64url')
  const payload = Buffer.from('{"sub":"web"}').toString('base64url')
  const body = {
    ...how,
    marshaling_algorithm: 'jws',
    input: Buffer.from(`${encoded}.${payload}`).toString('base64'),
  }
  const answer = await vault.bao.api('POST', `transit/sign/${key}`, body)
  const signature = String(answer.data.signature).split(':')[2] ?? ''
  return {
    protected: encoded,
    payload,
    signature: Buffer.from(signature, 'base64url').toString('base64url'),
  }
}

for (const signing of SIGNING) {
  void test(`jose verifies what ${signing.type} signed in Transit, from the mounted JWKS, before and after a rotation`, async (t) => {
    const key = `jwks-${signing.type}`
    await vault.makeKey(key, signing.type)
    const old = await signJws(key, signing)
    await rotateKey(vault.bao, key)
    const young = await signJws(key, signing)
    const { files } = await mount([{ path: 'jwks.json', type: 'jwks', key }])
    const jwks = JSON.parse(String(files.get('jwks.json')?.contents)) as JSONWebKeySet
    t.match(jwks.keys, [
      { kid: `${key}:1`, alg: signing.alg, use: 'sig' },
      { kid: `${key}:2`, alg: signing.alg, use: 'sig' },
    ])
    for (const jws of [old, young]) {
      const { protectedHeader } = await flattenedVerify(jws, createLocalJWKSet(jwks))
      t.equal(protectedHeader?.alg, signing.alg)
    }
    await t.rejects(
      flattenedVerify({ ...old, protected: young.protected }, createLocalJWKSet(jwks)),
      'a signature under the other version is refused',
    )
  })

  void test(`openssl verifies what ${signing.type} signed in Transit, from the mounted PEM`, async (t) => {
    const key = `pem-${signing.type}`
    await vault.makeKey(key, signing.type)
    const { files } = await mount([{ path: 'key.pem', type: 'publicKey', key }])
    const input = Buffer.from('signed in transit')
    const answer = await vault.bao.api('POST', `transit/sign/${key}`, {
      ...signing.sign,
      input: input.toString('base64'),
    })
    const signature = Buffer.from(String(answer.data.signature).split(':')[2] ?? '', 'base64')
    const folder = tempFolder('openssl')
    writeFileSync(join(folder, 'key.pem'), files.get('key.pem')?.contents ?? '')
    writeFileSync(join(folder, 'signature'), signature)
    writeFileSync(join(folder, 'input'), input)
    const hash = `sha${signing.alg.slice(2)}`
    const args =
      signing.type === 'ed25519'
        ? [
            'pkeyutl',
            '-verify',
            '-pubin',
            '-inkey',
            'key.pem',
            '-rawin',
            '-in',
            'input',
            '-sigfile',
            'signature',
          ]
        : ['dgst', `-${hash}`, '-verify', 'key.pem', '-signature', 'signature', 'input']
    const output = execFileSync('openssl', args, { cwd: folder, encoding: 'utf8' })
    t.match(output, /Verified OK|Verified Successfully/)
  })
}

void test('PEM, JWK and DER of a public key are the same key', async (t) => {
  await vault.makeKey('formats', 'ecdsa-p256')
  const { files } = await mount([
    { path: 'a.pem', type: 'publicKey', key: 'formats' },
    { path: 'a.jwk', type: 'publicKey', key: 'formats', format: 'jwk' },
    { path: 'a.der', type: 'publicKey', key: 'formats', format: 'der' },
  ])
  const der = files.get('a.der')?.contents ?? Buffer.alloc(0)
  const jwk = JSON.parse(String(files.get('a.jwk')?.contents)) as Record<string, string>
  const spki = (key: ReturnType<typeof createPublicKey>) =>
    key.export({ type: 'spki', format: 'der' }).toString('hex')
  t.equal(spki(createPublicKey(String(files.get('a.pem')?.contents))), der.toString('hex'))
  t.equal(spki(createPublicKey({ key: { ...jwk }, format: 'jwk' })), der.toString('hex'))
  t.match(jwk, { kid: 'formats:1', alg: 'ES256', use: 'sig', crv: 'P-256' })
})

void test('version all makes a folder with a file for each available version', async (t) => {
  await vault.makeKey('many', 'ed25519')
  await rotateKey(vault.bao, 'many')
  await rotateKey(vault.bao, 'many')
  await configKey(vault.bao, 'many', { min_decryption_version: 2 })
  const { files, versions } = await mount([
    { path: 'keys/many', type: 'publicKey', key: 'many', version: 'all' },
    { path: 'two.pem', type: 'publicKey', key: 'many', version: 2 },
    { path: 'latest.pem', type: 'publicKey', key: 'many' },
  ])
  t.same([...files.keys()], ['keys/many/2', 'keys/many/3', 'two.pem', 'latest.pem'])
  t.same([...versions.keys()], [...files.keys()])
  t.same(files.get('two.pem'), files.get('keys/many/2'))
  t.same(files.get('latest.pem'), files.get('keys/many/3'))
  const gone = [{ path: 'one.pem', type: 'publicKey', key: 'many', version: 1 }]
  t.match(await failure(mount(gone)), {
    code: 'NOT_FOUND',
    message:
      'objects[0] (one.pem): transit key many has no version 1: Vault lists 2 to 3 (min_decryption_version 2)',
  })
})

void test('an RSA key has the algorithm in the class', async (t) => {
  await vault.makeKey('rsa-alg', 'rsa-2048')
  const { files } = await mount([
    { path: 'pss', type: 'jwks', key: 'rsa-alg', alg: 'PS384' },
    { path: 'enc', type: 'publicKey', format: 'jwk', key: 'rsa-alg', alg: 'RSA-OAEP-256' },
  ])
  const pss = JSON.parse(String(files.get('pss')?.contents)) as JSONWebKeySet
  t.match(pss.keys[0], { alg: 'PS384', use: 'sig' })
  t.match(JSON.parse(String(files.get('enc')?.contents)), { alg: 'RSA-OAEP-256', use: 'enc' })
  const signing = { type: 'rsa-2048', alg: 'PS384', sign: { hash_algorithm: 'sha2-384' } }
  const jws = await signJws('rsa-alg', {
    ...signing,
    sign: { ...signing.sign, salt_length: 'hash' },
  })
  await t.resolves(flattenedVerify(jws, createLocalJWKSet(pss)))
})

const SYMMETRIC = [
  'aes128-gcm96',
  'aes256-gcm96',
  'chacha20-poly1305',
  // HashiCorp Vault does not have it.
  ...(usesVault() ? [] : ['xchacha20-poly1305']),
]

for (const type of SYMMETRIC) {
  void test(`values and data keys of ${type} come as files, with their associated data`, async (t) => {
    const key = `enc-${type}`
    await vault.makeKey(key, type)
    const aad = Buffer.from('shop').toString('base64')
    const dataKey = await vault.bao.api('POST', `transit/datakey/plaintext/${key}`, { bits: 256 })
    const { files } = await mount([
      { path: 'password', type: 'decrypt', key, ciphertext: await vault.encrypt(key, 'hunter2') },
      {
        path: 'bound',
        type: 'decrypt',
        key,
        ciphertext: await vault.encrypt(key, 'with aad', { associated_data: aad }),
        associatedData: aad,
        mode: '0400',
      },
      { path: 'dek', type: 'dataKey', key, wrapped: dataKey.data.ciphertext, encoding: 'base64' },
      { path: 'dek.raw', type: 'dataKey', key, wrapped: dataKey.data.ciphertext },
    ])
    t.equal(String(files.get('password')?.contents), 'hunter2')
    t.equal(files.get('password')?.mode, 0o444)
    t.equal(String(files.get('bound')?.contents), 'with aad')
    t.equal(files.get('bound')?.mode, 0o400)
    t.equal(String(files.get('dek')?.contents), dataKey.data.plaintext)
    t.equal(files.get('dek.raw')?.contents.toString('base64'), dataKey.data.plaintext)
  })
}

void test('RSA decrypts, and a derived key decrypts with its context', async (t) => {
  await vault.makeKey('rsa-enc', 'rsa-2048')
  await vault.makeKey('derived', 'aes256-gcm96', { derived: true })
  const context = Buffer.from('shop').toString('base64')
  const { files } = await mount([
    {
      path: 'rsa',
      type: 'decrypt',
      key: 'rsa-enc',
      ciphertext: await vault.encrypt('rsa-enc', 'by rsa'),
      encoding: 'utf8',
    },
    {
      path: 'derived',
      type: 'decrypt',
      key: 'derived',
      ciphertext: await vault.encrypt('derived', 'by context', { context }),
      context,
    },
  ])
  t.equal(String(files.get('rsa')?.contents), 'by rsa')
  t.equal(String(files.get('derived')?.contents), 'by context')
})

void test('bytes that are not UTF-8 are refused as utf8 and mounted unchanged as raw', async (t) => {
  await vault.makeKey('bytes')
  const ciphertext = await vault.encrypt('bytes', Buffer.from([0xff, 0x00, 0xfe]))
  const object = { path: 'x', type: 'decrypt', key: 'bytes', ciphertext }
  const { files } = await mount([object])
  t.same(files.get('x')?.contents, Buffer.from([0xff, 0x00, 0xfe]))
  t.match(await failure(mount([{ ...object, encoding: 'utf8' }])), {
    code: 'FAILED_PRECONDITION',
    message: /^objects\[0\] \(x\): the value is not UTF-8 text; use encoding: raw, base64 or hex$/,
  })
})

for (const { type } of SIGNING) {
  void test(`an exported ${type} key is PKCS #8 whose signatures the mounted public key verifies`, async (t) => {
    const key = `export-${type}`
    await vault.makeKey(key, type, { exportable: true })
    const { files } = await mount([
      { path: 'private.pem', type: 'exportedKey', key },
      { path: 'public.pem', type: 'publicKey', key },
    ])
    const privatePem = String(files.get('private.pem')?.contents)
    t.match(privatePem, /^-----BEGIN PRIVATE KEY-----/)
    const publicKey = createPublicKey(String(files.get('public.pem')?.contents))
    const data = Buffer.from('x')
    if (type === 'ed25519') {
      t.ok(verify(null, data, publicKey, sign(null, data, createPrivateKey(privatePem))))
    } else {
      const signature = createSign('sha256').update(data).sign(privatePem)
      t.ok(createVerify('sha256').update(data).verify(publicKey, signature))
    }
  })
}

for (const type of [...SYMMETRIC, 'hmac']) {
  void test(`an exported ${type} key is the key itself, each version its own file`, async (t) => {
    const key = `export-${type}`
    await vault.makeKey(key, type, {
      exportable: true,
      ...(type === 'hmac' ? { key_size: 32 } : {}),
    })
    await rotateKey(vault.bao, key)
    const kind = type === 'hmac' ? 'hmac-key' : 'encryption-key'
    const exported = await vault.bao.api('GET', `transit/export/${kind}/${key}`)
    const { files } = await mount([
      { path: 'all', type: 'exportedKey', key, version: 'all', encoding: 'base64' },
      { path: 'raw', type: 'exportedKey', key },
    ])
    t.same([...files.keys()], ['all/1', 'all/2', 'raw'])
    t.equal(String(files.get('all/1')?.contents), exported.data.keys['1'])
    t.equal(files.get('raw')?.contents.toString('base64'), exported.data.keys['2'])
  })
}

void test('a key that is not exportable is not exported', async (t) => {
  await vault.makeKey('locked')
  t.match(await failure(mount([{ path: 'x', type: 'exportedKey', key: 'locked' }])), {
    code: 'FAILED_PRECONDITION',
    message:
      /^objects\[0\] \(x\): key locked is not suitable: .*not exportable.*; use a key with exportable=true, or set that with a write to transit\/keys\/KEY\/config/,
  })
})

void test('a key that cannot decrypt, and a missing context, are reported with what to change', async (t) => {
  await vault.makeKey('signing-only', 'ed25519')
  await vault.makeKey('by-context', 'aes256-gcm96', { derived: true })
  const context = Buffer.from('shop').toString('base64')
  const ciphertext = await vault.encrypt('by-context', 'x', { context })
  for (const key of ['signing-only', 'by-context']) {
    for (const more of [
      { type: 'decrypt', ciphertext },
      { type: 'dataKey', wrapped: ciphertext },
    ]) {
      const { message } = await failure(mount([{ path: 'x', key, ...more }]))
      t.match(message, `objects[0] (x): key ${key} is not suitable: `)
      t.match(message, /; use a key that can decrypt, and write the context if the key is derived$/)
    }
  }
})

for (const type of ['ed25519', 'aes256-gcm96']) {
  void test(`a derived key of type ${type} is not exported, since Transit uses other keys`, async (t) => {
    const key = `derived-${type}`
    await vault.makeKey(key, type, { derived: true, exportable: true })
    t.match(await failure(mount([{ path: 'x', type: 'exportedKey', key }])), {
      code: 'FAILED_PRECONDITION',
      message: `objects[0] (x): transit key ${key} is derived: Vault exports only its base key, which Transit does not use directly; use a key with derived=false`,
    })
  })
}

void test('a derived key itself has no public key', async (t) => {
  const key = 'derived-signing'
  await vault.makeKey(key, 'ed25519', { derived: true })
  for (const type of ['publicKey', 'jwks']) {
    t.match(await failure(mount([{ path: 'x', type, key }])), {
      code: 'FAILED_PRECONDITION',
      message: `objects[0] (x): transit key ${key} is derived: it has another public key for each context; specify the context`,
    })
  }
})

for (const type of ['aes256-gcm96', 'hmac']) {
  void test(`a key of type ${type} has no public key, and the message says so`, async (t) => {
    const key = `none-${type}`
    await vault.makeKey(key, type, type === 'hmac' ? { key_size: 32 } : {})
    t.match(await failure(mount([{ path: 'x.pem', type: 'publicKey', key }])), {
      code: 'FAILED_PRECONDITION',
      message: `objects[0] (x.pem): transit key ${key} has type ${type}, which has no public key`,
    })
    const { files } = await mount([{ path: 'info.json', type: 'keyInfo', key }])
    t.match(JSON.parse(String(files.get('info.json')?.contents)), {
      name: key,
      type,
      latestVersion: 1,
      versions: [type === 'hmac' ? { version: 1 } : { version: 1, createdAt: /^20\d\d-.*Z$/ }],
    })
  })
}

// Explicit, because the open socket keeps tap waiting for more tests.
end()
