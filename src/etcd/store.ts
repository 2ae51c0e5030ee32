/** A key of etcd with its bytes, as they were when it was read. */
export interface StoredObject {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** Which keys are read. */
export interface KeySelection {
  /** As kube-apiserver's --etcd-prefix, with a slash at the end: `/registry/`. */
  readonly prefix: string
  /** Paths below the prefix, each with a slash at the end; none of them lies in another. Undefined: all. */
  readonly paths?: readonly string[]
}

/** Where objects are read from, in pieces of a bounded size and each key once: live etcd, or a snapshot file. */
export interface Store {
  /** For people: "etcd at https://127.0.0.1:2379", "snapshot backup.db". */
  readonly name: string
  /** The moments at which it was read: more than one where etcd was compacted meanwhile. */
  readonly revisions: readonly bigint[]
  /** How much has been read, from 0 to 1; undefined while that is not known. */
  readonly fraction: number | undefined
  /** Stops between pages when the signal is aborted. */
  readPages(selection: KeySelection, signal: AbortSignal): AsyncIterable<readonly StoredObject[]>
  /** The first parts of keys (`/registry/`), some at most, for a message when nothing was found. */
  findPrefixes(): Promise<readonly string[]>
  close(): Promise<void>
}

/** The ranges of keys that a selection means. */
export function prefixesOf({ prefix, paths }: KeySelection): readonly string[] {
  return paths === undefined ? [prefix] : paths.map((path) => prefix + path)
}

/** The first part of a key, up to and with the slash behind it. */
export function firstPart(key: string): string {
  const end = key.indexOf('/', 1)
  return end < 0 ? key : key.slice(0, end + 1)
}
