import type { EtcdAccess } from '../../etcd/access.ts'
import { EtcdClient } from '../../etcd/client.ts'
import { EtcdStore } from '../../etcd/live-store.ts'
import { SnapshotStore } from '../../etcd/snapshot/snapshot-store.ts'
import { warn, type Terminal } from './terminal.ts'

type Stderr = Pick<Terminal, 'stderr'>

/** Live etcd; a compaction during the read is reported. */
export function openEtcd(access: EtcdAccess, terminal: Stderr): EtcdStore {
  return new EtcdStore({
    client: new EtcdClient(access),
    onCompaction: (revision, key) =>
      warn(
        terminal,
        `etcd was compacted during the read; continuing at revision ${String(revision)} from ${JSON.stringify(key)}`,
      ),
  })
}

/**
 * Opens an etcd snapshot. Without a checksum nothing shows whether it is complete, so that is a gap unless the caller accepts
 * it (as `etcdutl snapshot restore --skip-hash-check` does).
 */
export async function openSnapshot(
  file: string,
  skipHashCheck: boolean,
): Promise<{ readonly store: SnapshotStore; readonly gaps: readonly string[] }> {
  const store = await SnapshotStore.open(file)
  const isProved = store.checksum === 'valid' || skipHashCheck
  const gap = `${store.name} has no checksum, so objects may be missing from it; take a snapshot with "etcdctl snapshot save", or pass --skip-hash-check for a copy of member/snap/db from a stopped etcd`
  return { store, gaps: isProved ? [] : [gap] }
}
