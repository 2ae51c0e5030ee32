import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test, type Test } from 'tap'
import { SnapshotStore } from '../../../src/etcd/snapshot/snapshot-store.ts'
import { Etcd } from '../../real/cluster/etcd.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { openLive, readAll, readSnapshot } from '../../verify/read-all.ts'
import { callEtcd, putAll, saveSnapshot } from '../../verify/snapshot-of.ts'

const etcd = await Etcd.start()
after(() => etcd.stop())

const name = (number: number) => `/registry/secrets/default/s${String(number).padStart(5, '0')}`

async function compareWithLive(t: Test, what: string): Promise<number> {
  const live = openLive(etcd.address)
  const expected = await readAll(live)
  await live.close()
  t.strictSame(await readSnapshot(await saveSnapshot(etcd)), expected, what)
  return expected.length
}

void test('a snapshot is read as the live store is', async (t) => {
  const empty = await SnapshotStore.open(await saveSnapshot(etcd))
  t.same(await readAll(empty), [], 'a bucket without anything')
  t.same(await empty.findPrefixes(), [])
  await empty.close()

  await etcd.put('/registry/secrets/default/only', Buffer.from('v'))
  t.equal(await compareWithLive(t, 'a bucket so small that it has no separate page'), 1)

  const entries = Array.from({ length: 3000 }, (_, at) => [name(at), randomBytes(200)] as const)
  await putAll(etcd, entries)
  await putAll(
    etcd,
    entries.slice(0, 500).map(([key]) => [key, Buffer.from('again')] as const),
  )
  for (let at = 0; at < 300; at += 10) await etcd.delete(name(at))
  await etcd.put(name(10), Buffer.from('a key that was deleted and made again'))
  await etcd.put('/other/key', Buffer.from('elsewhere'))
  t.equal(await compareWithLive(t, 'overwritten, deleted, made again'), 2972)

  await etcd.put('/registry/secrets/default/large', randomBytes(1_200_000))
  t.equal(await compareWithLive(t, 'a value over many pages'), 2973)

  const { header } = (await callEtcd(etcd, 'kv/range', { key: 'AA==' })) as {
    header: { revision: string }
  }
  await callEtcd(etcd, 'kv/compaction', { revision: header.revision, physical: true })
  await callEtcd(etcd, 'maintenance/defragment', {})
  t.equal(await compareWithLive(t, 'compacted and made smaller'), 2973)

  const store = await SnapshotStore.open(await saveSnapshot(etcd))
  await readAll(store)
  t.same(store.revisions, [BigInt(header.revision)])
  t.same(await store.findPrefixes(), ['/other/', '/registry/'])
  t.equal(store.checksum, 'valid')
  await store.close()
})

void test('a copy of the database file is a snapshot without a checksum', async (t) => {
  const whole = readFileSync(await saveSnapshot(etcd))
  const file = join(tempFolder('snapshot'), 'db')
  writeFileSync(file, whole.subarray(0, -32))
  const store = await SnapshotStore.open(file)
  t.equal(store.checksum, 'absent')
  t.equal((await readAll(store)).length, 2973)
  await store.close()
})

type Damage = readonly [what: string, damage: (whole: Buffer) => Buffer, message: RegExp]

const PAGE = 4096

/** Each is one thing done to a snapshot that is right. */
const DAMAGES: readonly Damage[] = [
  ['another file', () => Buffer.from('{"kind":"Secret"}'.repeat(1000)), /not an etcd snapshot/],
  ['an empty file', () => Buffer.alloc(0), /not an etcd snapshot/],
  ['only zeroes', (whole) => Buffer.alloc(whole.length), /not an etcd snapshot/],
  ['half of it', (whole) => whole.subarray(0, PAGE * 8), /truncated: it has 32768 of \d+ bytes/],
  ['without its last byte', (whole) => whole.subarray(0, -1), /truncated/],
  [
    'a byte changed',
    (whole) => Buffer.concat([whole.subarray(0, 9000), Buffer.of(1, 2, 3), whole.subarray(9003)]),
    /damaged or truncated: its SHA-256/,
  ],
  [
    'a page written over, no checksum',
    (whole) => {
      const copy = Buffer.from(whole.subarray(0, -32))
      for (let at = PAGE * 2; at < copy.length; at += PAGE) copy.fill(0xff, at, at + 16)
      return copy
    },
    /the snapshot is damaged: /,
  ],
  [
    'another database',
    (whole) => {
      // The name of the bucket that holds the keys, in a leaf of the root bucket.
      const text = whole.subarray(0, -32).toString('latin1')
      return Buffer.from(text.replaceAll(/key(?=.{16}lease)/gs, 'kex'), 'latin1')
    },
    /not of etcd 3/,
  ],
]

for (const [what, damage, message] of DAMAGES) {
  void test(`${what}: one clear line`, async (t) => {
    const file = join(tempFolder('snapshot'), 'damaged.db')
    writeFileSync(file, damage(readFileSync(await saveSnapshot(etcd))))
    await t.rejects(readSnapshot(file), { code: 'SNAPSHOT_INVALID', message })
  })
}

void test('a missing file is a usage error', async (t) => {
  await t.rejects(SnapshotStore.open('/nowhere.db'), {
    code: 'USAGE_INVALID',
    message: 'etcd snapshot /nowhere.db: cannot be read: there is no such file',
  })
  await t.rejects(SnapshotStore.open(tempFolder('snapshot')), { code: 'USAGE_INVALID' })
})

void test('the first meta page may be damaged, as after a power cut', async (t) => {
  const whole = Buffer.from(readFileSync(await saveSnapshot(etcd)).subarray(0, -32))
  whole.fill(0, 0, 64)
  const file = join(tempFolder('snapshot'), 'meta.db')
  writeFileSync(file, whole)
  t.equal((await readSnapshot(file)).length, 2973)
})
