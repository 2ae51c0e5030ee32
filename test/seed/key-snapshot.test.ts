import { test } from 'tap'
import { makeKeyId } from '../../src/seed/key-id.ts'
import { makeSnapshot } from '../../src/seed/key-snapshot.ts'
import { isStepBack, type TransitKey } from '../../src/transit/key.ts'
import { CREATED, transitKey } from '../kms/transit-key.ts'

const clusters = { clusterId: 'prod', alsoDecryptClusters: ['old'] }
const snapshotOf = (key: TransitKey) => makeSnapshot(key, clusters, 7)

void test('a snapshot announces the latest version', (t) => {
  const keyId = makeKeyId({
    clusterId: 'prod',
    keyName: 'k8s-etcd',
    keyVersion: 2,
    createdAt: CREATED + 3_600,
  })
  t.match(snapshotOf(transitKey(2)), {
    keyVersion: 2,
    keyId,
    createdAt: CREATED + 3_600,
    takenAt: 7,
  })
  t.end()
})

void test('a snapshot has the key ids of every listed version in every accepted cluster', (t) => {
  const { references } = snapshotOf(transitKey(3, { from: 2 }))
  t.same(
    [...references.values()].map(({ clusterId, keyVersion }) => `${clusterId} ${keyVersion}`),
    ['prod 2', 'prod 3', 'old 2', 'old 3'],
  )
  t.end()
})

void test('a key whose latest version is not listed is VAULT_ANSWER_INVALID', (t) => {
  t.throws(() => snapshotOf(transitKey(2, { latestVersion: 3 })), { code: 'VAULT_ANSWER_INVALID' })
  t.end()
})

const DAY = 86_400
const STEPS: readonly (readonly [string, TransitKey, TransitKey, boolean])[] = [
  ['the same', transitKey(2), transitKey(2), false],
  ['a rotation', transitKey(2), transitKey(3), false],
  ['a standby that did not see the rotation', transitKey(3), transitKey(2), true],
  ['a standby two rotations behind', transitKey(3), transitKey(1), true],
  ['a restored backup', transitKey(9), transitKey(4), true],
  [
    'the key made again, younger',
    transitKey(9),
    transitKey(1, { createdAt: CREATED + DAY }),
    false,
  ],
  [
    'the key made again, same version',
    transitKey(1),
    transitKey(1, { createdAt: CREATED + 1 }),
    false,
  ],
  [
    'another key, same version, older',
    transitKey(2),
    transitKey(2, { createdAt: CREATED - DAY }),
    false,
  ],
  ['min_decryption_version raised', transitKey(3), transitKey(3, { from: 3 }), false],
]

for (const [what, known, next, expected] of STEPS) {
  void test(`${what} is ${expected ? 'a' : 'not a'} step back`, (t) => {
    t.equal(isStepBack(known, next), expected)
    t.end()
  })
}
