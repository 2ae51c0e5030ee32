import { BridgeError } from '../errors.ts'
import type { Store } from '../etcd/store.ts'
import { readAnnotations } from '../seed/annotations.ts'
import { parseStoredValue, type StoredValue } from '../storage/stored-value.ts'

/** The cluster to which a store must belong. */
export interface ThisCluster {
  /** Of the namespace kube-system. */
  readonly uid: string
  /** The Leases of kube-system with their versions, as the API server returns them now. */
  readonly readLeases: () => Promise<ReadonlyMap<string, string>>
}

/** The cluster to which a store must not belong. */
export interface OtherThan {
  /** Of the namespace kube-system. */
  readonly otherThan: string
  /** Its kms.clusterId. */
  readonly clusterId: string
}

/** The cluster that a store is compared with. */
export type ExpectedCluster = ThisCluster | OtherThan

/** Of the two reads of one comparison, a Lease may be renewed in between. */
const TRIES = 3
const SAME =
  'it belongs to this cluster, so it proves nothing about another cluster that uses the key'
const UNKNOWN_OTHER =
  'its namespaces are encrypted with another provider, so it is not proved that it belongs to another cluster'
const OTHER =
  'the namespace kube-system has a different uid than in the API server, so this is the etcd of another cluster; check --endpoints, --kubeconfig and --api-server'
const UNKNOWN =
  'the namespaces are encrypted, and no Lease in kube-system has the same version in etcd and in the API server, so it is not proved that this is the etcd of the cluster; check --endpoints, --kubeconfig and --api-server'

/** Compares the namespace kube-system in a store with a cluster; the reason why it is the wrong one, or may be. */
export async function findWrongCluster(
  stored: Uint8Array | undefined,
  cluster: ExpectedCluster | undefined,
  store: Store,
  prefix: string,
): Promise<readonly string[]> {
  if (stored === undefined || cluster === undefined) return []
  const value = parseStoredValue(stored)
  const has = (uid: string) => Buffer.from(stored).includes(uid)
  if ('otherThan' in cluster) {
    if (value.kind === 'plain') return has(cluster.otherThan) ? [SAME] : []
    return compareClusterIds(value, cluster)
  }
  if (value.kind === 'plain') return has(cluster.uid) ? [] : [OTHER]
  return compareLeases(cluster, store, `${prefix}leases/kube-system/`)
}

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/

/** Whether two stores belong to one cluster, by the namespace kube-system in each; undefined if that shows nothing. */
export function isSameCluster(one: Uint8Array, other: Uint8Array): boolean | undefined {
  if (Buffer.from(one).equals(other)) return true
  const [uid, otherUid] = [readUid(one), readUid(other)]
  return uid === undefined || otherUid === undefined ? undefined : uid === otherUid
}

/** A store as it was read. */
export interface ReadStore {
  /** The namespace kube-system. */
  readonly cluster: Uint8Array
  /** As in Report. */
  readonly revisions: readonly string[]
}

const OTHER_ETCD =
  'the namespace kube-system has a different uid than in the etcd snapshot, so this etcd was not restored from it; check --endpoints'
const UNKNOWN_ETCD =
  'the namespaces are encrypted and have changed since the etcd snapshot, so it is not proved that this etcd was restored from it'
const UNKNOWN_REVISION =
  'a revision is not known, so it is not proved that this etcd is not older than the etcd snapshot'

/** Whether an etcd can have been restored from an etcd snapshot: a restore keeps its revision, and writes only raise it. */
export function judgeRestored(
  etcd: ReadStore,
  snapshot: ReadStore,
): { readonly state: 'ok' | 'to do' | 'not checked'; readonly words: string } {
  const isSame = isSameCluster(snapshot.cluster, etcd.cluster)
  if (isSame === false) return { state: 'to do', words: OTHER_ETCD }
  const [now, then] = [lowest(etcd.revisions), lowest(snapshot.revisions)]
  if (now === undefined || then === undefined)
    return { state: 'not checked', words: UNKNOWN_REVISION }
  if (now < then) {
    const words = `this etcd is at revision ${String(now)}, older than the snapshot (${String(then)}): another snapshot was restored`
    return { state: 'to do', words }
  }
  if (isSame === undefined) return { state: 'not checked', words: UNKNOWN_ETCD }
  const revisions = `revision ${String(now)}, the snapshot ${String(then)}`
  return {
    state: 'ok',
    words: `it belongs to the cluster of the snapshot and is not older (${revisions}); check yourself that --endpoints is the new etcd, because the old one looks the same`,
  }
}

/** Undefined without one; 0 is no revision. */
function lowest(revisions: readonly string[]): bigint | undefined {
  const [first] = revisions.map(BigInt).toSorted((one, other) => (one < other ? -1 : 1))
  return first === 0n ? undefined : first
}

/** Its first UUID is its uid, in JSON and in Protobuf. */
function readUid(stored: Uint8Array): string | undefined {
  if (parseStoredValue(stored).kind !== 'plain') return undefined
  return UUID.exec(Buffer.from(stored).toString('latin1'))?.[0]
}

/** The annotations name the cluster whose plugin encrypted the namespace. */
function compareClusterIds(value: StoredValue, { clusterId }: OtherThan): readonly string[] {
  if (value.kind !== 'kms-v2') return [UNKNOWN_OTHER]
  try {
    return readAnnotations(value.annotations).clusterId === clusterId ? [SAME] : []
  } catch {
    return [UNKNOWN_OTHER]
  }
}

/** Keys and revisions are never encrypted. */
async function compareLeases(
  { readLeases }: ThisCluster,
  store: Store,
  prefix: string,
): Promise<readonly string[]> {
  try {
    for (let count = 0; count < TRIES; count += 1) {
      const held = (await store.readRevisions?.(prefix)) ?? new Map<string, string>()
      const served = await readLeases()
      if ([...served].some(([name, version]) => held.get(prefix + name) === version)) return []
    }
    return [UNKNOWN]
  } catch (error) {
    return [`${UNKNOWN} (${BridgeError.from(error).message})`]
  }
}
