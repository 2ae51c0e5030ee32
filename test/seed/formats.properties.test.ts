import { deepStrictEqual, equal, match, notEqual, ok } from 'node:assert/strict'
import fc from 'fast-check'

import { BridgeError } from '../../src/errors.ts'
import {
  encodeAssociatedData,
  makeAnnotations,
  makeLocalAnnotations,
  readAnnotations,
  type Annotations,
} from '../../src/seed/annotations.ts'
import { encodeCanonically } from '../../src/seed/canonical-encoding.ts'
import { openEnvelope, MAX_WRAPPED_KEY_BYTES } from '../../src/seed/envelope.ts'
import { isOwnKeyId, makeKeyId, type KeyIdParts } from '../../src/seed/key-id.ts'
import { openV1Cipher, makeV1Cipher } from '../../src/seed/v1-cipher.ts'
import { readCiphertextVersion } from '../../src/transit/ciphertext.ts'
import { holds } from '../property.ts'

/** Any text that YAML or JSON can contain: code points, so no half of a surrogate pair. */
const text = fc.string({ unit: 'binary', maxLength: 40 })
/** Few letters, so that two texts are often equal, or almost. */
const close = fc.string({ unit: fc.constantFrom('a', '1', '\0', '\u0001', '.'), maxLength: 3 })
const bytes = fc.uint8Array({ maxLength: 8 }).map((array) => Buffer.from(array))
const field = fc.oneof(close, bytes)

/** Reads the encoding as RFC 8446 would describe it: each field after its length. */
function decode(encoded: Buffer): string[] {
  const fields: string[] = []
  for (let at = 0; at < encoded.length;) {
    const end = at + 4 + encoded.readUInt32BE(at)
    ok(end <= encoded.length)
    fields.push(encoded.toString('hex', at + 4, end))
    at = end
  }
  return fields
}

holds(
  'a list of fields can be read from its encoding, so no two lists have the same one',
  [close, fc.array(field, { maxLength: 6 })],
  (domain, fields) => {
    const expected = [domain, ...fields].map((each) => Buffer.from(each as string).toString('hex'))
    deepStrictEqual(decode(encodeCanonically(domain, fields)), expected)
  },
)

const keyParts: fc.Arbitrary<KeyIdParts> = fc.record({
  clusterId: close,
  keyName: close,
  keyVersion: fc.integer({ min: 1, max: 12 }),
  createdAt: fc.integer({ min: 0, max: 12 }),
})

holds('two key ids are equal only if all their parts are', [keyParts, keyParts], (one, other) => {
  const same = JSON.stringify(one) === JSON.stringify(other)
  equal(makeKeyId(one) === makeKeyId(other), same)
})

holds(
  'a key id is 47 characters of public text for any key and cluster, and recognized as one of this plugin',
  [text, text, fc.nat(), fc.nat()],
  (clusterId, keyName, keyVersion, createdAt) => {
    const keyId = makeKeyId({ clusterId, keyName, keyVersion, createdAt })
    match(keyId, /^tb1-[A-Za-z0-9_-]{43}$/)
    ok(isOwnKeyId(keyId))
  },
)

holds(
  'a key id that does not begin with "tb1-" is of another plugin',
  [fc.oneof(text, close, fc.constantFrom('tb1', 'tb2-a', 'tb11-a', ' tb1-a', 'TB1-a', '1'))],
  (keyId) => equal(isOwnKeyId(keyId), keyId.slice(0, 4) === 'tb1-'),
)

const base64 = fc.base64String({ minLength: 4, maxLength: 120 })
const keyVersion = fc.integer({ min: 1, max: 999_999_999 })
const transitCiphertext = fc
  .tuple(keyVersion, base64)
  .map(([number, encoded]) => `vault:v${String(number)}:${encoded}`)

holds(
  'the version of a Transit ciphertext is the one that was written, and no other text has one',
  [keyVersion, base64, text],
  (number, encoded, other) => {
    equal(readCiphertextVersion(`vault:v${String(number)}:${encoded}`), number)
    for (const wrong of [
      `vault:v0${String(number)}:${encoded}`,
      `vault:v${String(number)}:`,
      other,
    ])
      equal(readCiphertextVersion(wrong), undefined)
    equal(readCiphertextVersion(`vault:v${String(number)}:${encoded}\n`), undefined)
    equal(readCiphertextVersion(`vault:v${String(number + 1e9)}:${encoded}`), undefined)
  },
)

/** A cluster id as long as kms.clusterId may be. */
const clusterId = fc.string({ unit: 'binary', minLength: 1, maxLength: 253 })
const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

holds(
  'annotations are read as they were made, and kube-apiserver accepts them: domain names of at most 32 KiB in all',
  [clusterId, fc.option(transitCiphertext, { nil: undefined })],
  (cluster, wrappedKey) => {
    const made =
      wrappedKey === undefined
        ? makeAnnotations(cluster)
        : makeLocalAnnotations(cluster, wrappedKey)
    const read = readAnnotations(made)
    equal(read.clusterId, cluster)
    equal(read.wrappedKey && Buffer.from(read.wrappedKey).toString(), wrappedKey)
    let size = 0
    for (const [name, value] of Object.entries(made)) {
      ok(name.length <= 253 && name.split('.').length >= 2)
      for (const part of name.split('.')) match(part, label)
      size += name.length + value.byteLength
    }
    ok(size <= 32 * 1024)
  },
)

const annotationNames = [
  ...Object.keys(makeLocalAnnotations('', '')),
  'a.b',
  '__proto__',
  'constructor',
  '',
]
const versions = fc
  .constantFrom('1', '2', '', '10', '12', '1 ', '2\0', '3')
  .map((each) => Buffer.from(each))
const anyAnnotations: fc.Arbitrary<Annotations> = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...annotationNames), fc.oneof(bytes, versions)), {
    selector: ([name]) => name,
    maxLength: 4,
  })
  .map((entries) => Object.fromEntries(entries))
/** As this plugin writes them, with any format version. */
const almostOwn = fc
  .tuple(
    fc.constantFrom(makeAnnotations('c'), makeLocalAnnotations('c', 'vault:v1:QUJD')),
    versions,
  )
  .map(([made, value]) => ({ ...made, 'version.transit-bridge.internal': value }))
const annotations: fc.Arbitrary<Annotations> = fc.oneof(anyAnnotations, almostOwn)

function listOf(set: Annotations): string {
  return Object.entries(set)
    .map(([name, value]) => `${JSON.stringify(name)} ${Buffer.from(value).toString('hex')}`)
    .toSorted()
    .join()
}

holds(
  'two sets of annotations have the same associated data only if they are the same set',
  [annotations, annotations],
  (one, other) => {
    const same = listOf(one) === listOf(other)
    equal(encodeAssociatedData(one).equals(encodeAssociatedData(other)), same)
    const sorted = Object.keys(one)
      .toSorted()
      .flatMap((name) => [name, one[name] ?? ''])
      .map((each) => Buffer.from(each as string).toString('hex'))
    deepStrictEqual(decode(encodeAssociatedData(one)).slice(1), sorted)
    const reversed = Object.fromEntries(Object.entries(one).toReversed())
    deepStrictEqual(encodeAssociatedData(reversed), encodeAssociatedData(one))
  },
  600,
)

holds(
  'annotations that this plugin did not write are ANNOTATIONS_INVALID; others say what was written',
  [annotations],
  (set) => {
    const names = Object.keys(set).toSorted().join()
    const version = Buffer.from(set['version.transit-bridge.internal'] ?? []).toString('latin1')
    const [own, local] = [makeAnnotations(''), makeLocalAnnotations('', '')].map((each) =>
      Object.keys(each).toSorted().join(),
    )
    const isOwn = (version === '1' && names === own) || (version === '2' && names === local)
    try {
      readAnnotations(set)
      ok(isOwn)
    } catch (error) {
      ok(error instanceof BridgeError && error.code === 'ANNOTATIONS_INVALID' && !isOwn)
    }
  },
  1_000,
)

holds(
  'an envelope is opened as it was made, or refused for its ciphertext or its annotations',
  [
    fc.oneof(
      transitCiphertext.map((each) => Buffer.from(each)),
      bytes,
    ),
    text,
    fc.oneof(
      annotations,
      clusterId.map(makeAnnotations),
      transitCiphertext.map((key) => makeLocalAnnotations('c', key)),
    ),
  ],
  (ciphertext, keyId, set) => {
    try {
      const opened = openEnvelope({ ciphertext, keyId, annotations: set })
      equal(opened.claim?.keyId, keyId)
      equal(opened.keyVersion, readCiphertextVersion(opened.ciphertext))
      const wrapped = set['local-key.transit-bridge.internal']
      equal(opened.ciphertext, Buffer.from(wrapped ?? ciphertext).toString('latin1'))
      equal(opened.sealed === undefined, wrapped === undefined)
      ok(wrapped === undefined || wrapped.byteLength <= MAX_WRAPPED_KEY_BYTES)
    } catch (error) {
      ok(error instanceof BridgeError, String(error))
      match(error.code, /^(CIPHERTEXT|ANNOTATIONS)_INVALID$/)
    }
  },
  500,
)

holds(
  'a KMS v1 cipher is opened as it was made, and each of its forms opens only as itself',
  [clusterId, transitCiphertext, fc.nat(), fc.constantFrom('', 'A', '-', '=', ':', 'v1:', '\n')],
  (cluster, ciphertext, place, inserted) => {
    const cipher = makeV1Cipher(cluster, ciphertext).toString('latin1')
    const opened = openV1Cipher(cipher)
    deepStrictEqual([opened?.claim, opened?.ciphertext], [{ clusterId: cluster }, ciphertext])
    const at = place % cipher.length
    const changed = cipher.slice(0, at) + inserted + cipher.slice(at + 1)
    try {
      const other = openV1Cipher(changed)
      if (other === undefined || changed === cipher) return
      equal(
        makeV1Cipher(other.claim?.clusterId ?? '', other.ciphertext).toString('latin1'),
        changed,
      )
      const isSame = other.claim?.clusterId === cluster && other.ciphertext === ciphertext
      ok(!isSame)
      if (other.claim?.clusterId !== cluster)
        notEqual(other.associatedData?.toString('hex'), opened?.associatedData?.toString('hex'))
    } catch (error) {
      ok(error instanceof BridgeError && error.code === 'CIPHERTEXT_INVALID', String(error))
    }
  },
  500,
)
