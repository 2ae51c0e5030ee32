import { test } from 'tap'
import { makeAnnotations } from '../../src/seed/annotations.ts'
import {
  isVaultKubernetesKmsEnvelope,
  openEnvelope,
  openVaultKubernetesKmsEnvelope,
  readText,
} from '../../src/seed/envelope.ts'
import { encodeV1AssociatedData, makeV1Cipher, openV1Cipher } from '../../src/seed/v1-cipher.ts'

const CIPHERTEXT = 'vault:v2:QUJD'
const valid = {
  ciphertext: Buffer.from(CIPHERTEXT),
  keyId: 'tb1-x',
  annotations: makeAnnotations('prod-eu-1'),
}

void test('an envelope is opened with the claim of its parts', (t) => {
  const opened = openEnvelope(valid)
  t.match(opened, {
    ciphertext: CIPHERTEXT,
    keyVersion: 2,
    claim: { keyId: 'tb1-x', clusterId: 'prod-eu-1' },
  })
  t.ok((opened.associatedData?.length ?? 0) > 0)
  t.end()
})

const DEFECTS: readonly (readonly [string, Partial<typeof valid>, string])[] = [
  ['no annotations', { annotations: {} }, 'ANNOTATIONS_INVALID'],
  ['an empty ciphertext', { ciphertext: Buffer.alloc(0) }, 'CIPHERTEXT_INVALID'],
  ['a ciphertext of another plugin', { ciphertext: Buffer.from('k8s:x') }, 'CIPHERTEXT_INVALID'],
  ['a byte over 127', { ciphertext: Buffer.from(`${CIPHERTEXT}\u00e9`) }, 'CIPHERTEXT_INVALID'],
  [
    'a ciphertext of 97 KiB',
    { ciphertext: Buffer.from(`vault:v1:${'A'.repeat(97 * 1024)}`) },
    'CIPHERTEXT_INVALID',
  ],
]

for (const [what, change, code] of DEFECTS) {
  void test(`an envelope with ${what} is ${code}`, (t) => {
    t.throws(() => openEnvelope({ ...valid, ...change }), { code })
    t.end()
  })
}

void test('text is read from a part of a larger buffer', (t) => {
  t.equal(readText(new Uint8Array(Buffer.from('..vault..')).subarray(2, 7)), 'vault')
  t.end()
})

const FOREIGN: readonly (readonly [string, string, object, boolean])[] = [
  ['a bare version and no annotations', '7', {}, true],
  ['a version of nine digits', '999999999', {}, true],
  ['annotations', '7', makeAnnotations('c'), false],
  ['version 0', '0', {}, false],
  ['a leading zero', '07', {}, false],
  ['ten digits', '1000000000', {}, false],
  ['a key id of ours', 'tb1-x', {}, false],
  ['an empty key id', '', {}, false],
  ['a line break', '7\n', {}, false],
]

for (const [what, keyId, annotations, expected] of FOREIGN) {
  void test(`${what}: ${expected ? 'looks' : 'does not look'} like vault-kubernetes-kms`, (t) => {
    const envelope = { ...valid, keyId, annotations: { ...annotations } }
    t.equal(isVaultKubernetesKmsEnvelope(envelope), expected)
    t.end()
  })
}

void test('an envelope of vault-kubernetes-kms has no AAD and no claim', (t) => {
  t.same(openVaultKubernetesKmsEnvelope(valid.ciphertext), {
    ciphertext: CIPHERTEXT,
    keyVersion: 2,
  })
  t.end()
})

/** Computed by another program. */
const GOLDEN_V1_AAD =
  '0000001d7472616e7369742d6272696467652f616e6e6f746174696f6e732f7631' +
  '0000001b6170692e7472616e7369742d6272696467652e696e7465726e616c' +
  '0000000776316265746131' +
  '0000001f636c75737465722e7472616e7369742d6272696467652e696e7465726e616c' +
  '0000000970726f642d65752d31' +
  '0000001f76657273696f6e2e7472616e7369742d6272696467652e696e7465726e616c' +
  '0000000131'

void test('the form of a KMS v1 cipher never changes, and it opens again', (t) => {
  const cipher = makeV1Cipher('prod-eu-1', CIPHERTEXT)
  t.equal(cipher.toString(), 'transit-bridge:v1:cHJvZC1ldS0x:vault:v2:QUJD')
  t.equal(encodeV1AssociatedData('prod-eu-1').toString('hex'), GOLDEN_V1_AAD)
  t.same(openV1Cipher(cipher.toString('latin1')), {
    ciphertext: CIPHERTEXT,
    keyVersion: 2,
    associatedData: encodeV1AssociatedData('prod-eu-1'),
    claim: { clusterId: 'prod-eu-1' },
  })
  t.end()
})

void test('the AAD of KMS v1 is never that of KMS v2', (t) => {
  const v2 = openEnvelope(valid).associatedData?.toString('hex')
  t.not(v2, GOLDEN_V1_AAD)
  t.end()
})

for (const text of [
  '',
  CIPHERTEXT,
  'transit-bridge:v2:cHJvZC1ldS0x:vault:v2:QUJD',
  'transit-bridge:v1::vault:v2:QUJD',
  'transit-bridge:v1:cHJvZC1ldS0x:QUJD',
  'transit-bridge:v1:cHJvZC1ldS0=:vault:v2:QUJD',
  'transit-bridge:v1:cHJvZC1ldS0y=:vault:v2:QUJD',
]) {
  void test(`"${text}" is not a KMS v1 cipher of this plugin`, (t) => {
    t.equal(openV1Cipher(text), undefined)
    t.end()
  })
}

void test('a cluster has one text form in a KMS v1 cipher; no other is accepted', (t) => {
  // "YQ" and "YR" both decode to "a"; "Y" decodes to nothing.
  t.match(openV1Cipher('transit-bridge:v1:YQ:vault:v2:QUJD'), {
    claim: { clusterId: 'a' },
  })
  t.equal(openV1Cipher('transit-bridge:v1:YR:vault:v2:QUJD'), undefined)
  t.equal(openV1Cipher('transit-bridge:v1:Y:vault:v2:QUJD'), undefined)
  t.end()
})

void test('a KMS v1 cipher with a damaged ciphertext is CIPHERTEXT_INVALID', (t) => {
  t.throws(() => openV1Cipher('transit-bridge:v1:YQ:vault:v0:QUJD'), { code: 'CIPHERTEXT_INVALID' })
  t.end()
})
