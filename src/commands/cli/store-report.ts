import type { EncryptionRule } from '../../encryption/document.ts'
import type { EtcdAccess } from '../../etcd/access.ts'
import type { EtcdDistribution } from '../../etcd/distributions.ts'
import type { Store } from '../../etcd/store.ts'
import { openRegularFile } from '../../files/regular-file.ts'
import type { Resource } from '../../kube/resource.ts'
import { systemClock } from '../../time/clock.ts'
import type { Report } from '../../verify/report.ts'
import { verifyStore, type VerificationOptions } from '../../verify/verification.ts'
import { readEtcdAccess, type EtcdValues } from './options/etcd.ts'
import { flag } from './option.ts'
import { Progress } from './progress.ts'
import { openEtcd, openSnapshot } from './store.ts'
import { warn, type Terminal } from './terminal.ts'

/** A low load: a fifth of what a small etcd can serve. A million objects take a few minutes. */
export const DEFAULT_ETCD_RATE = 5_000

/** Where stored objects are read from. */
export type StoreSource =
  | { readonly kind: 'snapshot'; readonly file: string; readonly skipHashCheck: boolean }
  | { readonly kind: 'etcd'; readonly access: EtcdAccess; readonly found?: EtcdDistribution }

/** What is read, and what it is compared with. */
export interface StoreReading {
  readonly source: StoreSource
  /** With a slash at both ends. */
  readonly prefix: string
  /** Only these are read, and all of them are expected to be encrypted. */
  readonly resources?: readonly Resource[] | undefined
  /** Must be encrypted unless an EncryptionConfiguration was passed. */
  readonly patterns?: readonly string[] | undefined
  /** Resources that may be plaintext. */
  readonly allowed?: readonly Resource[] | undefined
  /** Of the API server's EncryptionConfiguration. */
  readonly rules?: readonly EncryptionRule[] | undefined
  /** Maximum objects per second; undefined means no limit. */
  readonly rate?: number | undefined
  readonly deep?: VerificationOptions['deep']
  readonly cluster?: VerificationOptions['cluster']
  readonly onCluster?: VerificationOptions['onCluster']
}

/** Accepts an etcd snapshot without a checksum, which may be incomplete. */
export const skipHashCheckOption = flag(
  'Accept an etcd snapshot without a checksum, such as a copy of member/snap/db: objects may be missing from it.',
)

/** Verifies a store, with a progress display on standard error. */
export async function reportStore(
  { source, allowed = [], ...reading }: StoreReading,
  terminal: Pick<Terminal, 'stderr'>,
  signal: AbortSignal,
): Promise<Report> {
  const { store, gaps } = await openStore(source, terminal)
  const { stderr } = terminal
  const progress = new Progress({ stderr, clock: systemClock, what: 'objects read' })
  try {
    return await verifyStore({
      ...reading,
      store,
      gaps,
      allowed,
      clock: systemClock,
      onProgress: (objects, fraction) => progress.show(objects, fraction),
      signal,
    })
  } finally {
    progress.end()
    await store.close()
  }
}

/** Throws USAGE_INVALID for a file that cannot be read, before Vault or a cluster is asked. */
export async function requireReadable(source: StoreSource): Promise<void> {
  if (source.kind === 'etcd') return
  const file = await openRegularFile(source.file, `etcd snapshot ${source.file}`)
  await file.close()
}

interface OpenStore {
  readonly store: Store
  readonly gaps?: readonly string[]
}

/** Opens a store to read it; on a node, says which etcd was found. */
export async function openStore(
  source: StoreSource,
  terminal: Pick<Terminal, 'stderr'>,
): Promise<OpenStore> {
  if (source.kind === 'snapshot') return openSnapshot(source.file, source.skipHashCheck)
  if (source.found !== undefined) {
    const { name, endpoint, certFile } = source.found
    const means = certFile === undefined ? '' : ` with ${certFile}`
    warn(terminal, `reading the etcd of ${name} at ${endpoint}${means}`)
  }
  return { store: openEtcd(source.access, terminal) }
}

interface LiveValues extends EtcdValues {
  /** Resources and wildcards that must be encrypted unless the EncryptionConfiguration was passed. */
  readonly resources?: readonly string[] | undefined
}

/** What stored objects are compared with. */
export interface Expected {
  readonly rules?: readonly EncryptionRule[] | undefined
  readonly cluster?: VerificationOptions['cluster']
  readonly onCluster?: VerificationOptions['onCluster']
}

/** Verifies what the etcd of the options holds now, and that it is the etcd of the expected cluster. */
export function reportEtcd(
  values: LiveValues,
  expected: Expected,
  terminal: Pick<Terminal, 'stderr'>,
  signal: AbortSignal,
): Promise<Report> {
  const { etcdPrefix: prefix, resources: patterns } = values
  const source = { kind: 'etcd', access: readEtcdAccess(values) } as const
  const reading = { source, prefix, patterns, rate: DEFAULT_ETCD_RATE }
  return reportStore({ ...reading, ...expected }, terminal, signal)
}

type SnapshotValues = Pick<EtcdValues, 'etcdPrefix'> & { readonly skipHashCheck: boolean }

/** Verifies what an etcd snapshot holds. */
export function reportSnapshot(
  file: string,
  { etcdPrefix: prefix, skipHashCheck }: SnapshotValues,
  expected: Expected,
  terminal: Pick<Terminal, 'stderr'>,
  signal: AbortSignal,
): Promise<Report> {
  const source = { kind: 'snapshot', file, skipHashCheck } as const
  return reportStore({ source, prefix, ...expected }, terminal, signal)
}
