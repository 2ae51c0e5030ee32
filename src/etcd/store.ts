/** A key of etcd and its value when it was read. */
export interface StoredObject {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** Which keys to read. */
export interface KeySelection {
  /** kube-apiserver's --etcd-prefix with a slash at both ends: `/registry/`. */
  readonly prefix: string
  /** Paths under the prefix, each with a slash at the end; none contains another. Undefined means all. */
  readonly paths?: readonly string[] | undefined
  /** Whole keys whose existence is checked as well, whether or not they are under `paths`. */
  readonly markers?: readonly string[] | undefined
}

/** A source of stored objects, read in pages of a bounded size and each key once: live etcd or an etcd snapshot. */
export interface Store {
  /** For messages: "etcd at https://127.0.0.1:2379", "snapshot backup.db". */
  readonly name: string
  /** The revisions at which it was read: more than one if etcd was compacted meanwhile. */
  readonly revisions: readonly bigint[]
  /** How much has been read, from 0 to 1; undefined while unknown. */
  readonly fraction: number | undefined
  /** The markers of the selection that exist; complete when all pages have been read. */
  readonly foundMarkers: ReadonlySet<string>
  /** Why its content is not proved to be that of the cluster, each a sentence; complete when all pages have been read. */
  readonly faults: readonly string[]
  /** Ends between two pages when the signal is aborted. */
  readPages(selection: KeySelection, signal: AbortSignal): AsyncIterable<readonly StoredObject[]>
  /** The keys under a prefix with the revision of their last change, now; undefined where nothing can change. */
  readRevisions?(prefix: string): Promise<ReadonlyMap<string, string>>
  /** Some first segments of keys (`/registry/`), for the message when nothing was found. */
  findPrefixes(): Promise<readonly string[]>
  close(): Promise<void>
}

/** The key prefixes of a selection. */
export function prefixesOf({ prefix, paths }: KeySelection): readonly string[] {
  return paths === undefined ? [prefix] : paths.map((path) => prefix + path)
}

/** The first segment of a key with the slash that ends it. */
export function firstPart(key: string): string {
  const end = key.indexOf('/', 1)
  return end < 0 ? key : key.slice(0, end + 1)
}
