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
  /** Maximum objects per second; undefined means no limit. */
  readonly rate?: number | undefined
  /** A key whose value is returned. */
  readonly kept?: string | undefined
  /** Default: what can be checked without any key. */
  readonly proof?: Proof | undefined
  /** Called after each page. */
  readonly onProgress?: ((objects: number, fraction: number | undefined) => void) | undefined
  readonly signal: AbortSignal
}

export interface Scan {
  readonly tally: Tally
  /** The markers of the selection that exist. */
  readonly found: ReadonlySet<string>
  /** The value of the kept key; undefined if it was not read. */
  readonly kept?: Uint8Array | undefined
}

/**
 * Reads a store once and counts what it holds. Throws STORE_EMPTY if no key has the prefix, CANCELLED if the signal is
 * aborted, and what the store throws.
 */
export async function scanStore(options: ScanOptions): Promise<Scan> {
  const { store, selection, clock, rate, proof = shallowProof, signal } = options
  const tally = new Tally(selection.prefix)
  const pace = new Pace(rate, clock)
  const keptKey = options.kept === undefined ? undefined : Buffer.from(options.kept)
  let kept: Uint8Array | undefined
  try {
    for await (const page of store.readPages(selection, signal)) {
      const objects = page.map(({ key, value }) => ({ key, stored: parseStoredValue(value) }))
      kept ??= page.find(({ key }) => keptKey?.equals(key))?.value.slice()
      const findings = await proof.check(objects)
      for (const [index, object] of objects.entries()) tally.add(object, findings[index])
      options.onProgress?.(tally.objects, store.fraction)
      await pace.spend(page.length, signal)
    }
  } finally {
    proof.end()
  }
  if (signal.aborted) {
    throw new BridgeError('CANCELLED', 'stopped before the end, so nothing is proved')
  }
  const found = store.foundMarkers
  if (tally.objects === 0 && found.size === 0) await requirePrefix(store, selection)
  return { tally, found, kept }
}

/** An empty result needs an explanation if the prefix is wrong. */
async function requirePrefix(store: Store, { prefix, paths }: KeySelection): Promise<void> {
  const prefixes = await store.findPrefixes()
  // Only some paths were read, so there may be other keys under the prefix. A prefix can be shorter or longer than one segment.
  const mayExist = (part: string) => part.startsWith(prefix) || prefix.startsWith(part)
  if (paths !== undefined && prefixes.some(mayExist)) return
  const found = prefixes.filter((part) => part !== prefix)
  const problem =
    found.length === 0
      ? 'holds no keys; check that it is the etcd of the cluster'
      : `has no keys under ${prefix}, only under ${found.join(', ')}; pass the --etcd-prefix of kube-apiserver`
  throw new BridgeError('STORE_EMPTY', `${store.name} ${problem}`)
}
