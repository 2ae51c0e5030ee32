import { EtcdClient } from '../../src/etcd/client.ts'
import { EtcdStore } from '../../src/etcd/live-store.ts'
import { SnapshotStore } from '../../src/etcd/snapshot/snapshot-store.ts'
import type { KeySelection, Store } from '../../src/etcd/store.ts'

/** Everything below /registry/. */
export const ALL: KeySelection = { prefix: '/registry/' }

/** Keys with their values, in the order of keys; a key that comes twice throws. */
export async function readAll(
  store: Store,
  selection = ALL,
): Promise<readonly (readonly [string, string])[]> {
  const found = new Map<string, string>()
  for await (const page of store.readPages(selection, new AbortController().signal)) {
    for (const { key, value } of page) {
      const name = Buffer.from(key).toString('utf8')
      if (found.has(name)) throw new Error(`${name} came twice`)
      found.set(name, Buffer.from(value).toString('latin1'))
    }
  }
  return [...found].toSorted(([one], [other]) => (one < other ? -1 : 1))
}

export function openLive(
  address: string,
  onCompaction: (revision: bigint, key: string) => void = () => undefined,
): EtcdStore {
  return new EtcdStore({ client: new EtcdClient({ endpoints: [address] }), onCompaction })
}

export async function readSnapshot(file: string): Promise<readonly (readonly [string, string])[]> {
  const store = await SnapshotStore.open(file)
  try {
    return await readAll(store)
  } finally {
    await store.close()
  }
}
