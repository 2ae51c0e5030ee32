import { test } from 'tap'

import { makeLocalAnnotations } from '../../src/seed/annotations.ts'
import { MAX_WRAPPED_KEY_BYTES, openEnvelope } from '../../src/seed/envelope.ts'
import {
  encodeLocalKeyAssociatedData,
  identifyLocalKey,
  openSeed,
  sealSeed,
} from '../../src/seed/local-seal.ts'

const key = Buffer.from(Array.from({ length: 32 }, (_, index) => index))
const seed = Buffer.from('0123456789abcdef0123456789abcdef')
const associatedData = Buffer.from('aad of the seed')

/** Computed with Python: HMAC for HKDF (RFC 5869), and AES-GCM of the package cryptography. */
const GOLDEN =
  '202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f' +
  'd851d86a6da40d3b74d1dba0e919b6501fdb30da1991d2803f1caeea7a7f0bce' +
  'e4b4f653d5ee5d7786e921364d7b6339'

void test('a seed that another program encrypted in the same format is opened', (t) => {
  const bytes = Buffer.from(GOLDEN, 'hex')
  t.same(openSeed(key, { bytes, associatedData }), seed)
  t.end()
})

void test('the AAD of a local key never changes, and names the cluster', (t) => {
  const encoded = encodeLocalKeyAssociatedData('prod').toString('latin1')
  t.equal(encoded, '\0\0\0\x1btransit-bridge/local-key/v1\0\0\0\x04prod')
  t.end()
})

void test('a seed is opened again, and equal seeds never look equal', (t) => {
  const [one, two] = [sealSeed(key, seed, associatedData), sealSeed(key, seed, associatedData)]
  t.same(openSeed(key, { bytes: one, associatedData }), seed)
  t.equal(one.length, 80)
  t.notSame(one, two)
  t.end()
})

void test('a seed does not open with any bit changed, cut or added', (t) => {
  const sealed = sealSeed(key, seed, associatedData)
  const changed = Array.from({ length: sealed.length * 8 }, (_, bit) => {
    const bytes = Buffer.from(sealed)
    bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    return bytes
  })
  const cut = Array.from({ length: sealed.length }, (_, length) => sealed.subarray(0, length))
  const longer = Buffer.concat([sealed, Buffer.of(0)])
  for (const bytes of [...changed, ...cut, longer])
    t.throws(() => openSeed(key, { bytes, associatedData }), { code: 'CIPHERTEXT_INVALID' })
  t.end()
})

void test('a seed does not open with another key, other annotations, or a key of another length', (t) => {
  const bytes = sealSeed(key, seed, associatedData)
  const other = { bytes, associatedData: Buffer.from('aad of the see') }
  t.throws(() => openSeed(key, other), { code: 'CIPHERTEXT_INVALID' })
  for (const wrong of [Buffer.alloc(32), Buffer.alloc(16), Buffer.alloc(0), Buffer.alloc(64)])
    t.throws(() => openSeed(wrong, { bytes, associatedData }), { code: 'CIPHERTEXT_INVALID' })
  t.end()
})

void test('a local key has another identity for each ciphertext and each cluster', (t) => {
  const identities = ['vault:v1:AAAA', 'vault:v1:AAAB'].flatMap((ciphertext) =>
    ['prod', 'test'].map((cluster) =>
      identifyLocalKey({ ciphertext, associatedData: encodeLocalKeyAssociatedData(cluster) }),
    ),
  )
  t.equal(new Set(identities).size, 4)
  t.end()
})

const annotated = (wrappedKey: string) => ({
  ciphertext: sealSeed(key, seed, associatedData),
  keyId: 'tb1-x',
  annotations: makeLocalAnnotations('prod', wrappedKey),
})

void test('an envelope with a local key names the key version of the local key', (t) => {
  const opened = openEnvelope(annotated('vault:v7:AAAA'))
  t.match(opened, { ciphertext: 'vault:v7:AAAA', keyVersion: 7, claim: { clusterId: 'prod' } })
  t.same(opened.associatedData, encodeLocalKeyAssociatedData('prod'))
  t.ok(opened.sealed)
  t.end()
})

void test('an envelope with something other than a wrapped local key is refused before Vault is asked', (t) => {
  for (const wrong of ['', 'vault:v1:', 'x'.repeat(32), 'vault:v0:AAAA'])
    t.throws(() => openEnvelope(annotated(wrong)), { code: 'CIPHERTEXT_INVALID' })
  const long = `vault:v1:${'A'.repeat(MAX_WRAPPED_KEY_BYTES)}`
  t.throws(() => openEnvelope(annotated(long)), { code: 'ANNOTATIONS_INVALID' })
  t.end()
})
