import { create } from '@bufbuild/protobuf'
import { test } from 'tap'
import type { EtcdClient } from '../../src/etcd/client.ts'
import { EtcdStore } from '../../src/etcd/live-store.ts'
import { RangeResponseSchema } from '../../src/gen/etcd/v3/rpc_pb.ts'
import { readAll } from '../verify/read-all.ts'

const KEYS = 10_050
const ALL_KEYS = Array.from(
  { length: KEYS },
  (_, at) => `/registry/secrets/a/${String(at).padStart(5, '0')}`,
)

/**
 * A fake of a server that treats every range as the keys of one folder, as kine before 0.16 does (pkg/server/list.go): such an
 * old kine does not build without a C compiler.
 */
function openOldKine(clusterId: bigint): EtcdStore {
  const client: Pick<EtcdClient, 'endpoint' | 'range' | 'readErrors' | 'close'> = {
    endpoint: 'http://127.0.0.1:2379',
    range: ({ key = Buffer.alloc(0), rangeEnd = Buffer.alloc(0), limit = 0n, countOnly }) => {
      const end = Buffer.from(rangeEnd)
      const last = end.length - 1
      if (last >= 0) end[last] = (end[last] ?? 0) - 1
      const folder = `${String(end).replace(/\/$/, '')}/`
      const start = Buffer.from(key).toString('utf8')
      const found = ALL_KEYS.filter((each) => each.startsWith(folder) && each >= start)
      const page = limit === 0n ? found : found.slice(0, Number(limit))
      const kvs = page.map((each) => ({ key: Buffer.from(each), value: Buffer.of(1) }))
      const answer = {
        header: { revision: 7n, clusterId },
        kvs: countOnly === true ? [] : kvs,
        more: page.length < found.length,
        count: BigInt(found.length),
      }
      return Promise.resolve(create(RangeResponseSchema, answer))
    },
    readErrors: () => Promise.resolve([]),
    close: () => undefined,
  }
  return new EtcdStore({ client, onCompaction: () => undefined })
}

void test('kine is read without ranges that it would misinterpret', async (t) => {
  t.equal((await readAll(openOldKine(0n))).length, KEYS)
})

void test('a server that returns fewer keys than it counted proves nothing', async (t) => {
  await t.rejects(readAll(openOldKine(1n)), {
    code: 'ETCD_FAILED',
    message: /returned \d+ of the 10050 keys that it counted at the same revision/,
  })
})
