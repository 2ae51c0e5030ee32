import { test } from 'tap'
import { hasPlaintextLength } from '../../src/transit/ciphertext.ts'
import { parseTransitKey, requireWrappingKey, type TransitKey } from '../../src/transit/key.ts'
import { explainTransitFault } from '../../src/transit/fault.ts'
import { OpenBao } from '../real/vault/openbao.ts'
import { configKey, enableTransit, makeKey, rotateKey } from '../real/vault/transit-setup.ts'

void test('keys as a real OpenBao returns them', async (all) => {
  const bao = await OpenBao.start({ audit: false })
  all.teardown(() => bao.stop())
  await enableTransit(bao)
  const read = async (name: string): Promise<TransitKey> =>
    parseTransitKey(await bao.api('GET', `transit/keys/${name}`))
  const startedAt = Math.floor(Date.now() / 1000) - 1

  await all.test('a new symmetric key wraps; its times are those of its creation', async (t) => {
    await makeKey(bao, 'sym')
    const key = await read('sym')
    t.match(key, { name: 'sym', type: 'aes256-gcm96', latestVersion: 1, derived: false })
    t.same([...key.versions.keys()], [1])
    const createdAt = key.versions.get(1)?.createdAt ?? 0
    t.ok(createdAt >= startedAt && createdAt <= Date.now() / 1000)
    requireWrappingKey(key)
  })

  await all.test('versions below min_decryption_version are no longer listed', async (t) => {
    await makeKey(bao, 'raised')
    await rotateKey(bao, 'raised')
    await rotateKey(bao, 'raised')
    await configKey(bao, 'raised', { min_decryption_version: 2, min_encryption_version: 3 })
    const key = await read('raised')
    t.match(key, { latestVersion: 3, minDecryptionVersion: 2, minEncryptionVersion: 3 })
    t.same([...key.versions.keys()], [2, 3])
  })

  for (const type of ['rsa-2048', 'ed25519', 'ecdsa-p256']) {
    await all.test(`a key of type ${type} has public keys and cannot wrap`, async (t) => {
      await makeKey(bao, type, { type })
      const key = await read(type)
      const version = key.versions.get(1)
      t.ok((version?.createdAt ?? 0) >= startedAt)
      t.match(version?.publicKey, type === 'ed25519' ? /^[A-Za-z0-9+/]{43}=$/ : /BEGIN PUBLIC KEY/)
      t.throws(() => requireWrappingKey(key), { code: 'KEY_UNSUITABLE' })
    })
  }

  for (const type of ['aes256-gcm96', 'aes128-gcm96', 'chacha20-poly1305', 'xchacha20-poly1305']) {
    await all.test(`a ciphertext of type ${type} shows the length of its plaintext`, async (t) => {
      const made = await bao.request('POST', `transit/keys/${type}`, { type })
      if (made.status >= 400) {
        t.comment(`only OpenBao has keys of type ${type}`)
        return
      }
      for (const bytes of [0, 4, 32, 33]) {
        const plaintext = Buffer.alloc(bytes).toString('base64')
        const { data } = await bao.api('POST', `transit/encrypt/${type}`, { plaintext })
        t.ok(hasPlaintextLength(data.ciphertext, bytes))
        t.notOk(hasPlaintextLength(data.ciphertext, bytes + 1))
        t.notOk(hasPlaintextLength(data.ciphertext, bytes - 1))
      }
    })
  }

  await all.test('a derived key is reported as such', async (t) => {
    await bao.api('POST', 'transit/keys/derived', { derived: true })
    const key = await read('derived')
    t.equal(key.derived, true)
    t.throws(() => requireWrappingKey(key), { code: 'KEY_UNSUITABLE' })
  })

  await all.test('a soft-deleted key is reported as such', async (t) => {
    await makeKey(bao, 'soft')
    const deleted = await bao.request('DELETE', 'transit/keys/soft/soft-delete')
    if (deleted.status >= 400) {
      t.comment('only OpenBao deletes softly')
      return
    }
    const key = await read('soft')
    t.equal(key.softDeleted, true)
    t.throws(() => requireWrappingKey(key), { code: 'KEY_MISSING' })
  })

  await all.test('its error messages are those that the program knows', async (t) => {
    const b64 = (text: string) => Buffer.from(text).toString('base64')
    const words = async (path: string, body: object) => {
      const answer = await bao.request('POST', path, body)
      t.equal(answer.status, 400, path)
      return explainTransitFault(String(answer.body.errors?.[0])).code
    }
    const secret = { plaintext: b64('s'), associated_data: b64('a') }
    const made = await bao.api('POST', 'transit/encrypt/sym', secret)
    const { ciphertext } = made.data
    const decrypt = (change: object, key = 'sym') =>
      words(`transit/decrypt/${key}`, { ciphertext, associated_data: b64('a'), ...change })
    t.equal(await decrypt({ associated_data: b64('b') }), 'CIPHERTEXT_INVALID')
    t.equal(await decrypt({ associated_data: undefined }), 'CIPHERTEXT_INVALID')
    t.equal(await decrypt({ ciphertext: 'vault:v1:AAAA' }), 'CIPHERTEXT_INVALID')
    t.equal(await decrypt({ ciphertext: ciphertext.replace('v1', 'v9') }), 'KEY_VERSION_UNKNOWN')
    t.equal(await decrypt({}, 'raised'), 'KEY_VERSION_DISABLED')
    t.equal(await decrypt({}, 'absent'), 'KEY_MISSING')
    t.equal(await decrypt({}, 'derived'), 'KEY_UNSUITABLE')
    t.equal(await decrypt({}, 'ed25519'), 'KEY_UNSUITABLE')
    const encrypt = (key: string, change: object = {}) =>
      words(`transit/encrypt/${key}`, { ...secret, ...change })
    t.equal(await encrypt('sym', { key_version: 2 }), 'KEY_VERSION_UNKNOWN')
    t.equal(await encrypt('raised', { key_version: 2 }), 'KEY_VERSION_DISABLED')
    t.equal(await encrypt('rsa-2048'), 'KEY_UNSUITABLE')
  })

  await all.test('an empty plaintext is a value like any other', async (t) => {
    const answer = await bao.request('POST', 'transit/encrypt/sym', { plaintext: '' })
    t.equal(answer.status, 200)
  })
})
