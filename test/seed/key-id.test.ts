import { createHash } from 'node:crypto'
import { test } from 'tap'
import { encodeCanonically } from '../../src/seed/canonical-encoding.ts'
import { makeKeyId, type KeyIdParts } from '../../src/seed/key-id.ts'

const valid: KeyIdParts = {
  clusterId: 'prod-eu-1',
  keyName: 'k8s-etcd',
  keyVersion: 1,
  createdAt: 1_790_000_000,
}

/** Computed by another program (Python's hashlib and struct). Stored data depends on every one of them. */
const GOLDEN: readonly (readonly [KeyIdParts, string])[] = [
  [valid, 'tb1-11yRl2H_811VWq7zeJ545WjNSqE8_PqLfxAjbb_yk1Y'],
  [
    { ...valid, keyVersion: 12, createdAt: 1_790_086_400 },
    'tb1-_wo8_Ihme3aLCTxTwZolJzG_-zLwTQNhpWZshJkuO0s',
  ],
  [
    { clusterId: 'кластер', keyName: 'my key', keyVersion: 3, createdAt: 1 },
    'tb1-piiF0NlDx4LjN5bySUnJav5By46F0nvo3YXIE7b6vx0',
  ],
]

for (const [parts, keyId] of GOLDEN) {
  void test(`the key id of version ${parts.keyVersion} of ${parts.keyName} in ${parts.clusterId} never changes`, (t) => {
    t.equal(makeKeyId(parts), keyId)
    t.end()
  })
}

void test('a key id is a hash over length and bytes of each field', (t) => {
  const field = (text: string) => {
    const length = Buffer.from([0, 0, 0, Buffer.byteLength(text)])
    return Buffer.concat([length, Buffer.from(text)])
  }
  const encoded = Buffer.concat(
    ['transit-bridge/key-id/v1', 'prod-eu-1', 'k8s-etcd', '1', '1790000000'].map(field),
  )
  const hash = createHash('sha256').update(encoded).digest('base64url')
  t.equal(makeKeyId(valid), `tb1-${hash}`)
  t.end()
})

const CHANGES: readonly (readonly [string, Partial<KeyIdParts>])[] = [
  ['another cluster', { clusterId: 'prod-eu-2' }],
  ['another key', { keyName: 'k8s-etcd-2' }],
  ['another version', { keyVersion: 2 }],
  [
    'another time of making, as of a key that was deleted and made again',
    { createdAt: 1_790_000_001 },
  ],
  [
    'a letter that moved from the key to the cluster',
    { clusterId: 'prod-eu-1k', keyName: '8s-etcd' },
  ],
  ['a digit that moved from the time to the version', { keyVersion: 11, createdAt: 790_000_000 }],
]

for (const [what, change] of CHANGES) {
  void test(`${what} has another key id`, (t) => {
    t.not(makeKeyId({ ...valid, ...change }), makeKeyId(valid))
    t.end()
  })
}

void test('a key id is public text within the limit of 1024 bytes', (t) => {
  const keyId = makeKeyId({ ...valid, clusterId: 'c'.repeat(10_000) })
  t.match(keyId, /^tb1-[A-Za-z0-9_-]{43}$/)
  t.end()
})

void test('different lists of fields never encode to the same bytes', (t) => {
  const lists = [
    ['ab', 'c'],
    ['a', 'bc'],
    ['abc'],
    ['abc', ''],
    ['', 'abc'],
    ['a', 'b', 'c'],
    ['\0\0\0\u0001a'],
    [],
  ]
  const seen = new Set(lists.map((fields) => encodeCanonically('d', fields).toString('hex')))
  seen.add(encodeCanonically('da', ['bc']).toString('hex'))
  t.equal(seen.size, lists.length + 1)
  t.same(encodeCanonically('d', ['é']), encodeCanonically('d', [Buffer.from('é')]))
  t.end()
})
