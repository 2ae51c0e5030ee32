import { deepStrictEqual, equal, match, notEqual } from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'tap'

import {
  formatSealedFile,
  parseSealedFile,
  type OfflineState,
  type SealedOwner,
} from '../../../src/kms/local/sealed-format.ts'
import { holds } from '../../property.ts'
import { transitKey } from '../transit-key.ts'

const text = fc.string({ unit: 'binary', maxLength: 20 })
const localKey = fc.record({
  ciphertext: text,
  clusterId: text,
  keyId: text,
  key: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((array) => Buffer.from(array)),
  isOwn: fc.boolean(),
  isShared: fc.option(fc.boolean(), { nil: undefined }),
})
const state: fc.Arbitrary<OfflineState> = fc.record({
  key: fc
    .tuple(text, fc.integer({ min: 1, max: 5 }), fc.nat())
    .map(([name, latest, createdAt]) => transitKey(latest, { name, createdAt })),
  agreedAt: fc.record({ bootId: text, sinceBootMs: fc.nat(), wallMs: fc.nat() }),
  localKeys: fc.array(localKey, { maxLength: 4 }),
})
const close = fc.oneof(text, fc.constantFrom('a', 'b'))
const owner: fc.Arbitrary<SealedOwner> = fc.record({ clusterId: close, keyPath: close })
const nodeKey = fc.constantFrom(1, 2).map((byte) => Buffer.alloc(32, byte))
/** JSON omits what is undefined. */
const written = (value: OfflineState): unknown =>
  JSON.parse(JSON.stringify({ ...value, key: { ...value.key, versions: [...value.key.versions] } }))

holds('a sealed file is read as it was written', [state, owner, nodeKey], (value, of, key) => {
  const read = parseSealedFile(formatSealedFile(value, of, key), of, key)
  notEqual(typeof read, 'string')
  deepStrictEqual(written(read as OfflineState), written(value))
})

holds(
  'a sealed file is for its owner and its node key only',
  [state, owner, owner, nodeKey, nodeKey],
  (value, of, other, key, otherKey) => {
    const isSame = of.clusterId === other.clusterId && of.keyPath === other.keyPath
    const read = parseSealedFile(formatSealedFile(value, of, key), other, otherKey)
    equal(typeof read !== 'string', isSame && key.equals(otherKey))
  },
)

void test('a sealed file with any bit changed, its end removed or a byte added is not used', (t) => {
  const of = { clusterId: 'prod', keyPath: 'transit/k8s' }
  const key = Buffer.alloc(32, 1)
  const [value] = fc.sample(state, { seed: 7, numRuns: 1 })
  if (value === undefined) throw new Error('there is no sample')
  const file = formatSealedFile(value, of, key)
  for (let bit = 0; bit < file.length * 8; bit += 1) {
    const changed = Buffer.from(file)
    changed.writeUInt8(file.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    match(parseSealedFile(changed, of, key) as string, /^(is|was|belongs) /, `bit ${String(bit)}`)
  }
  for (let length = 0; length < file.length; length += 1)
    equal(typeof parseSealedFile(file.subarray(0, length), of, key), 'string')
  equal(typeof parseSealedFile(Buffer.concat([file, Buffer.of(0)]), of, key), 'string')
  t.end()
})
