import type { Store, StoredObject } from '../../src/etcd/store.ts'

/** A store with a single page, in place of an etcd. */
export function memoryStore(entries: readonly (readonly [key: string, value: Buffer])[]): Store {
  const foundMarkers = new Set<string>()
  return {
    name: 'memory',
    revisions: [1n],
    faults: [],
    fraction: 1,
    foundMarkers,
    async *readPages({ markers = [] }): AsyncIterable<readonly StoredObject[]> {
      for (const [key] of entries) if (markers.includes(key)) foundMarkers.add(key)
      yield await Promise.resolve(
        entries.map(([key, value]) => ({ key: Buffer.from(key), value: Buffer.from(value) })),
      )
    },
    findPrefixes: () => Promise.resolve([]),
    close: () => Promise.resolve(),
  }
}
