import type { Clock } from '../time/clock.ts'
import { makeExpectation, type ExpectationOptions } from '../encryption/expectation.ts'
import type { Store } from '../etcd/store.ts'
import { pathOfResource } from '../kube/resource.ts'
import { CLUSTER_MARKER, findGaps, listMarkers } from './gaps.ts'
import type { Proof } from './proof.ts'
import { findWrongCluster, type ExpectedCluster } from './wrong-cluster.ts'
import { makeReport, type Depth, type Report } from './report.ts'
import { scanStore } from './scan.ts'

export interface Decryption {
  readonly proof: Proof
  readonly depth: Depth
  /** Of the requests in Vault's audit log; undefined if Vault is not asked. */
  readonly uid?: string | undefined
}

export interface VerificationOptions extends ExpectationOptions {
  readonly store: Store
  /** With a slash at both ends. */
  readonly prefix: string
  readonly clock: Clock
  /** Maximum objects per second; undefined means no limit. */
  readonly rate?: number | undefined
  /** How to decrypt; undefined means that only envelopes are checked. */
  readonly deep?: Decryption | undefined
  /** What is known to be unproven before the store is read, each a sentence. */
  readonly gaps?: readonly string[] | undefined
  /** The cluster whose store it must be, or must not be. */
  readonly cluster?: ExpectedCluster | undefined
  /** Receives the namespace kube-system as it is stored, to compare two stores. */
  readonly onCluster?: ((stored: Uint8Array) => void) | undefined
  readonly onProgress: (objects: number, fraction: number | undefined) => void
  readonly signal: AbortSignal
}

/** Reads a store once and judges what it holds. Throws STORE_EMPTY, CANCELLED, and what the store and the proof throw. */
export async function verifyStore(options: VerificationOptions): Promise<Report> {
  const { store, prefix, resources, deep, clock, rate, cluster, onProgress, signal } = options
  const expectation = makeExpectation(options)
  const markers = listMarkers(expectation).map((path) => prefix + path)
  const { tally, found, kept } = await scanStore({
    store,
    selection: { prefix, paths: resources?.map(pathOfResource), markers },
    clock,
    rate,
    proof: deep?.proof,
    kept: prefix + CLUSTER_MARKER,
    onProgress,
    signal,
  })
  const existing = new Set([...found].map((key) => key.slice(prefix.length)))
  const gaps = findGaps({ tally, expectation, prefix, markers: existing })
  if (kept !== undefined) options.onCluster?.(kept)
  const wrong = await findWrongCluster(kept, cluster, store, prefix)
  return makeReport({
    tally,
    expectation,
    gaps: [...(options.gaps ?? []), ...store.faults, ...gaps, ...wrong],
    source: store.name,
    prefix,
    revisions: store.revisions,
    depth: deep?.depth ?? 'envelopes',
    vaultUid: deep?.uid,
  })
}
