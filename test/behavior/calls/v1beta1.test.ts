import { test } from 'tap'
import { KEY } from '../../real/vault/kms-vault.ts'
import { rotateKey } from '../../real/vault/transit-setup.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const { bao } = fixture
const V1 = { v1beta1: true, refreshInterval: '5m' }
const plugin = await fixture.startHealthy({ kms: { ...V1, clusterId: 'ours' } })
const { client } = plugin
const plaintext = newSeed()
const cipher = await client.encryptV1(plaintext)

void test('KMS v1 is served together with v2 on one socket if kms.v1beta1 is set', async (t) => {
  t.match(await client.versionV1(), {
    version: 'v1beta1',
    runtimeName: 'transit-bridge',
    runtimeVersion: /^\d+\.\d+\.\d+/,
  })
  t.same(await client.decryptV1(cipher), plaintext)
  t.same(await client.decrypt(await client.encrypt(plaintext)), plaintext)
})

void test("the API server's ping of 4 bytes is decrypted", async (t) => {
  const ping = Buffer.from('ping')
  t.same(await client.decryptV1(await client.encryptV1(ping)), ping)
})

void test('each call makes one request to Vault, and Version makes none', async (t) => {
  const since = bao.auditMark()
  await client.versionV1()
  await client.decryptV1(await client.encryptV1(plaintext))
  t.same(
    fixture.asked(since).map(({ path }) => path),
    [`transit/encrypt/${KEY}`, `transit/decrypt/${KEY}`],
  )
})

void test('old data stays readable after a rotation', async (t) => {
  const quick = await fixture.startHealthy({
    kms: { ...V1, clusterId: 'ours', refreshInterval: '1s' },
  })
  const { keyId } = await quick.client.status()
  await rotateKey(bao, KEY)
  await eventually('the rotation', async () => (await quick.client.status()).keyId !== keyId)
  t.match(Buffer.from(await quick.client.encryptV1(plaintext)).toString(), /:vault:v2:/)
  t.same(await quick.client.decryptV1(cipher), plaintext)
  await quick.stop()
})

void test('a cipher of another plugin is refused before Vault is asked', async (t) => {
  const since = bao.auditMark()
  const text = Buffer.from(cipher).toString('latin1')
  const theirs = text.replace(/(transit-bridge:v1:)[^:]+/, `$1${encode('theirs')}`)
  const ciphers: [string, Uint8Array, string][] = [
    ['nothing', new Uint8Array(), 'INVALID_ARGUMENT'],
    ['random bytes', newSeed(), 'INVALID_ARGUMENT'],
    ['the ciphertext alone', Buffer.from(text.replace(/^.*(?=vault:)/, '')), 'INVALID_ARGUMENT'],
    ['that of another cluster', Buffer.from(theirs), 'FAILED_PRECONDITION'],
  ]
  for (const [name, bytes, code] of ciphers) {
    t.match(await outcomeOf(client.decryptV1(bytes)), { code }, name)
  }
  t.equal(fixture.asked(since).length, 0)
})

void test('a v1 cipher is not accepted as a v2 ciphertext, nor the reverse', async (t) => {
  const v2 = await client.encrypt(plaintext)
  const inner = Buffer.from(cipher)
    .toString('latin1')
    .replace(/^.*(?=vault:)/, '')
  t.match(await outcomeOf(client.decrypt({ ...v2, ciphertext: Buffer.from(inner) })), {
    code: 'INVALID_ARGUMENT',
  })
  const wrapped = `transit-bridge:v1:${encode('ours')}:${Buffer.from(v2.ciphertext).toString('latin1')}`
  t.match(await outcomeOf(client.decryptV1(Buffer.from(wrapped))), {
    code: 'INVALID_ARGUMENT',
    message: /message authentication failed/,
  })
})

void test('KMS v1 data of vault-kubernetes-kms is read with kms.acceptFrom', async (t) => {
  const { data } = await bao.api('POST', `transit/encrypt/${KEY}`, {
    plaintext: plaintext.toString('base64'),
  })
  const old = Buffer.from(data.ciphertext)
  t.match(await outcomeOf(client.decryptV1(old)), {
    code: 'INVALID_ARGUMENT',
    message: /set kms.acceptFrom/,
  })
  const heir = await fixture.startHealthy({ kms: { ...V1, acceptFrom: ['vault-kubernetes-kms'] } })
  t.same(await heir.client.decryptV1(old), plaintext)
  await heir.stop()
})

fixture.end()

function encode(clusterId: string): string {
  return Buffer.from(clusterId).toString('base64url')
}
