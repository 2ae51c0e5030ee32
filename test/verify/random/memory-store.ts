import { firstPart, prefixesOf, type Store } from '../../../src/etcd/store.ts'
import { Random } from './random.ts'
import type { RandomStore } from './random-store.ts'

/** Yields the objects of a random store in pages of random sizes and in random order, as an etcd snapshot does. */
export function memoryStore({ seed, objects, outside }: RandomStore): Store {
  const random = new Random(seed)
  const all = random.shuffle([
    ...objects,
    ...outside.map((key) => ({ key, value: Buffer.from('k8s\0') })),
  ])
  const foundMarkers = new Set<string>()
  return {
    name: 'a store in memory',
    revisions: [1n],
    faults: [],
    fraction: undefined,
    foundMarkers,
    async *readPages(selection) {
      const prefixes = prefixesOf(selection)
      const markers = new Set(selection.markers ?? [])
      for (const { key } of all) if (markers.has(key)) foundMarkers.add(key)
      const rest = all.filter(({ key }) => prefixes.some((prefix) => key.startsWith(prefix)))
      while (rest.length > 0) {
        const page = rest.splice(0, 1 + random.below(12))
        yield await Promise.resolve(
          page.map(({ key, value }) => ({ key: Buffer.from(key), value })),
        )
      }
    },
    findPrefixes: () => Promise.resolve([...new Set(all.map(({ key }) => firstPart(key)))]),
    close: () => Promise.resolve(),
  }
}
