import { deepStrictEqual, equal, ok } from 'node:assert/strict'
import fc from 'fast-check'

import { FairCache } from '../../src/csi/fair-cache.ts'
import { holds } from '../property.ts'

const MAX_SIZE = 12

type Entry = { key: string; value: string; owner: string; size: number }

/** What the cache must do, in the simplest form: a list whose last entry is the one that was used last. */
class Model {
  entries: Entry[] = []
  readonly left: string[] = []

  find(key: string): Entry | undefined {
    return this.entries.find((entry) => entry.key === key)
  }

  use(entry: Entry): void {
    this.entries = [...this.entries.filter((other) => other !== entry), entry]
  }

  remove(entry: Entry): void {
    this.entries = this.entries.filter((other) => other !== entry)
    this.left.push(entry.value)
  }

  /** @param kept values that are in the cache, which chooses between owners with equal shares */
  set(entry: Entry, kept: ReadonlySet<string>): void {
    const old = this.find(entry.key)
    const added = { ...entry, owner: old?.owner ?? entry.owner }
    if (old !== undefined) this.remove(old)
    if (added.size > MAX_SIZE) return
    this.entries.push(added)
    while (this.sizeOf() > MAX_SIZE) this.#shrink(added, kept)
  }

  sizeOf(owner?: string): number {
    return this.entries
      .filter((entry) => owner === undefined || entry.owner === owner)
      .reduce((sum, { size }) => sum + size, 0)
  }

  #shrink(added: Entry, kept: ReadonlySet<string>): void {
    const others = this.entries.filter((entry) => entry !== added)
    const largest = Math.max(...others.map(({ owner }) => this.sizeOf(owner)))
    const oldest = [...new Set(others.map(({ owner }) => owner))]
      .filter((owner) => this.sizeOf(owner) === largest)
      .flatMap((owner) => others.find((entry) => entry.owner === owner) ?? [])
    const removed = oldest.find(({ value }) => !kept.has(value)) ?? oldest[0]
    if (removed !== undefined) this.remove(removed)
  }
}

type Real = { cache: FairCache<string>; left: string[] }

/** The same entries in both, the bound is kept, and each value that is gone was reported once. */
function compare(model: Model, { cache, left }: Real): void {
  const values = model.entries.map(({ value }) => value)
  equal(cache.size, values.length)
  deepStrictEqual([...cache.values()].toSorted(), values.toSorted())
  deepStrictEqual(left.toSorted(), model.left.toSorted())
  ok(model.sizeOf() <= MAX_SIZE)
}

type Step = (model: Model, real: Real) => void

function command(name: string, run: Step): fc.Command<Model, Real> {
  return {
    check: () => true,
    run: (model, real) => {
      run(model, real)
      compare(model, real)
    },
    toString: () => name,
  }
}

const key = fc.constantFrom('k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7')
const entry = fc.record({
  key,
  owner: fc.constantFrom('a', 'b', 'c'),
  size: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 14 })),
})
let count = 0

const commands = fc.commands(
  [
    entry.map((given) =>
      command(`set ${JSON.stringify(given)}`, (model, { cache }) => {
        const value = String((count += 1))
        cache.set(given.key, value, given)
        model.set({ ...given, value }, new Set(cache.values()))
      }),
    ),
    key.map((each) =>
      command(`get ${each}`, (model, { cache }) => {
        const found = model.find(each)
        if (found !== undefined) model.use(found)
        equal(cache.get(each), found?.value)
      }),
    ),
    key.map((each) =>
      command(`delete ${each}`, (model, { cache }) => {
        const found = model.find(each)
        if (found !== undefined) model.remove(found)
        cache.delete(each)
      }),
    ),
    fc.constant(
      command('clear', (model, { cache }) => {
        for (const each of model.entries) model.remove(each)
        cache.clear()
      }),
    ),
  ],
  { maxCommands: 80, size: 'max' },
)

holds(
  'the cache with shares does what its model does, for any order of calls',
  [commands],
  (all) => {
    const left: string[] = []
    const cache = new FairCache<string>({ maxSize: MAX_SIZE, onLeave: (value) => left.push(value) })
    fc.modelRun(() => ({ model: new Model(), real: { cache, left } }), all)
  },
  300,
)
