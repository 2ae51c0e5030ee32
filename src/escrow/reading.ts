import type { Store } from '../etcd/store.ts'
import { systemClock } from '../time/clock.ts'
import { describeCount } from '../text/count.ts'
import { escapeControls } from '../text/one-line.ts'
import { CLUSTER_MARKER, findMissingCluster, findNothingDecrypted } from '../verify/gaps.ts'
import type { Proof } from '../verify/proof.ts'
import { scanStore } from '../verify/scan.ts'
import type { NamedFinding } from '../verify/tally.ts'

export interface EscrowReadingOptions {
  readonly store: Store
  /** With a slash at both ends. */
  readonly prefix: string
  readonly proof: Proof
  /** Maximum objects per second; undefined means no limit. */
  readonly rate?: number | undefined
  /** What is known to be unproven before the store is read. */
  readonly gaps?: readonly string[] | undefined
  readonly onProgress: (objects: number, fraction: number | undefined) => void
  readonly signal: AbortSignal
}

/** How much of a store an escrow covers. */
export interface Coverage {
  readonly source: string
  readonly objects: number
  readonly encrypted: number
  readonly covered: number
  /** Secrets that are not encrypted: nothing is needed to read them. */
  readonly plainSecrets: number
  /** Why the rest is not covered: some objects of each resource. */
  readonly uncovered: readonly NamedFinding[]
  /** What the read of the store cannot prove, each a sentence. */
  readonly gaps: readonly string[]
}

/** Reads a store once and compares it with an escrow. Throws what `scanStore` throws. */
export async function readCoverage(options: EscrowReadingOptions): Promise<Coverage> {
  const { store, prefix, proof, rate, gaps = [], onProgress, signal } = options
  const marker = prefix + CLUSTER_MARKER
  const { tally, found } = await scanStore({
    store,
    selection: { prefix, markers: [marker] },
    clock: systemClock,
    rate,
    proof,
    onProgress,
    signal,
  })
  const resources = [...tally.resources.values()]
  const sum = (count: (resource: (typeof resources)[number]) => number) =>
    resources.reduce((total, resource) => total + count(resource), 0)
  const { encrypted } = tally
  const markers = new Set(found.has(marker) ? [CLUSTER_MARKER] : [])
  return {
    source: store.name,
    objects: tally.objects,
    encrypted,
    covered: encrypted - sum(({ unreadable, unproven }) => unreadable + unproven),
    plainSecrets: tally.resources.get('secrets')?.plain ?? 0,
    uncovered: resources.flatMap(({ unreadableNames, unprovenNames }) => [
      ...unreadableNames,
      ...unprovenNames,
    ]),
    gaps: [
      ...gaps,
      ...store.faults,
      ...findMissingCluster({ markers, prefix }),
      ...findNothingDecrypted(encrypted),
    ],
  }
}

/** Whether every encrypted object of the store is proved to be covered. */
export function isComplete({ encrypted, covered, gaps }: Coverage): boolean {
  return covered === encrypted && gaps.length === 0
}

/** The start of the last line if not everything is complete. */
export function describeIncomplete(coverage: readonly Coverage[]): string {
  return coverage.every(({ encrypted, covered }) => covered === encrypted)
    ? 'NOT ok: coverage is not proved'
    : 'NOT ok: the escrow does not cover everything'
}

/** The last line if not everything is proved to have been decrypted and written. The lines above it have the details. */
export function describeUnopened({ encrypted, covered }: Coverage): string {
  if (covered < encrypted)
    return 'NOT ok: some encrypted objects were not decrypted or not written; see above'
  if (encrypted === 0)
    return 'NOT ok: no encrypted object was found, so nothing was written; see above'
  return 'NOT ok: every encrypted object that was found was decrypted and written, but others may be missing; see above'
}

/** "1 local key and 20 DEK seeds" */
export function describeKeys(count: Readonly<Record<'localKeys' | 'seeds', number>>): string {
  return `${describeCount(count.localKeys, 'local key')} and ${describeCount(count.seeds, 'DEK seed')}`
}

const SHOWN = 10

/** One line of counts, then what is missing and why. */
export function formatCoverage(coverage: Coverage): readonly string[] {
  const { source, encrypted, covered, uncovered, gaps } = coverage
  const missing = encrypted - covered
  const shown = uncovered
    .slice(0, SHOWN)
    .map(({ key, why }) => `  ${escapeControls(key)}: ${escapeControls(why)}`)
  const rest = missing - shown.length
  return [
    `${source}: ${covered.toLocaleString('en')} of ${encrypted.toLocaleString('en')} encrypted objects`,
    ...shown,
    ...(rest > 0 ? [`  and ${rest.toLocaleString('en')} more`] : []),
    ...gaps.map((gap) => `  ${escapeControls(gap)}`),
  ]
}
