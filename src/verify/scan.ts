import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import { parseStoredValue } from '../storage/stored-value.ts'
import { Pace } from '../time/pace.ts'
import { shallowProof, type Proof } from './proof.ts'
import type { KeySelection, Store } from '../etcd/store.ts'
import { Tally } from './tally.ts'

export interface ScanOptions {
  readonly store: Store
  readonly selection: KeySelection
  readonly clock: Clock
  /** Objects a second at most; undefined: as fast as it goes. */
  readonly rate?: number
  /** Default: only what can be seen without any key. */
  readonly proof?: Proof
  /** Told after each page. */
  readonly onProgress?: (objects: number, fraction: number | undefined) => void
  readonly signal: AbortSignal
}

/**
 * Reads all of a store once and counts what it holds. Throws STORE_EMPTY if there is nothing at the prefix, CANCELLED if
 * the signal is aborted, and what the store throws.
 */
export async function scanStore(options: ScanOptions): Promise<Tally> {
  const { store, selection, clock, rate, proof = shallowProof, signal } = options
  const tally = new Tally(selection.prefix)
  const pace = new Pace(rate, clock)
  try {
    for await (const page of store.readPages(selection, signal)) {
      const objects = page.map(({ key, value }) => ({ key, stored: parseStoredValue(value) }))
      const findings = await proof.check(objects)
      for (const [index, object] of objects.entries()) tally.add(object, findings[index])
      options.onProgress?.(tally.objects, store.fraction)
      await pace.spend(page.length, signal)
    }
  } finally {
    proof.end()
  }
  if (signal.aborted) {
    throw new BridgeError('CANCELLED', 'stopped before the end, so nothing is proven')
  }
  if (tally.objects === 0) await requirePrefix(store, selection)
  return tally
}

/** Nothing to be found is an answer only where the prefix is right. */
async function requirePrefix(store: Store, { prefix, paths }: KeySelection): Promise<void> {
  const found = await store.findPrefixes()
  const isThere = (part: string) =>
    paths === undefined ? part === prefix : prefix.startsWith(part)
  if (found.some(isThere)) return
  if (found.length === 0) {
    throw new BridgeError(
      'STORE_EMPTY',
      `${store.name} holds no keys at all; is it the etcd of the cluster`,
    )
  }
  throw new BridgeError(
    'STORE_EMPTY',
    `${store.name} has nothing below ${prefix}; keys begin with ${found.join(', ')}; give the API server's --etcd-prefix`,
  )
}
