import { test } from 'tap'

import { judgeOfflineState } from '../../../src/kms/local/offline-readiness.ts'
import { makeSnapshot } from '../../../src/seed/key-snapshot.ts'
import { readMoment } from '../../../src/time/boot-time.ts'
import { transitKey } from '../transit-key.ts'

const HOUR = 3_600_000
const now = readMoment()
const { keyId: announced } = makeSnapshot(
  transitKey(1),
  { clusterId: 'prod', alsoDecryptClusters: [] },
  0,
)

/** What a plugin wrote an hour ago, with one thing changed. */
function judge(change: Partial<typeof now>, { isOwn = true, keyId = announced } = {}) {
  const ago = { sinceBootMs: now.sinceBootMs - HOUR, wallMs: now.wallMs - HOUR }
  const localKey = { ciphertext: 'vault:v1:AAAA', clusterId: 'prod', keyId, isOwn }
  const state = {
    key: transitKey(1),
    agreedAt: { ...now, ...ago, ...change },
    localKeys: [{ ...localKey, key: Buffer.alloc(32) }],
  }
  const judged = judgeOfflineState('FILE', state, 4 * HOUR)
  return 'why' in judged ? judged.why : `${String(Math.round(judged.leftMs / HOUR))} h left`
}

const ROWS = [
  ['written an hour ago', {}, '3 h left'],
  ['the clock was set back since', { wallMs: now.wallMs + HOUR }, /clock of this node is behind/],
  ['the clock was set forward since', { wallMs: now.wallMs - 10 * HOUR }, /was set forward after/],
  ['written before the last boot', { bootId: 'another' }, '3 h left'],
  ['older than kms.localKeys.offlineFor', { sinceBootMs: now.sinceBootMs - 5 * HOUR }, /longer/],
] as const

for (const [what, change, expected] of ROWS) {
  void test(`whether a node can start from a sealed file, also after a reboot: ${what}`, (t) => {
    t.match(judge(change), expected)
    t.end()
  })
}

void test('a sealed file without a local key of its own encrypts nothing', (t) => {
  t.match(judge({}, { isOwn: false }), /no local key that encrypts/)
  t.end()
})

void test('a local key of another key id does not encrypt after a start', (t) => {
  t.match(judge({}, { keyId: 'tb1' }), /no local key that encrypts/)
  t.end()
})
