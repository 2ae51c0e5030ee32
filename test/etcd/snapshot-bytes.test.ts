import { writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'

import { BoltFile } from '../../src/etcd/snapshot/bolt-file.ts'
import { readAt } from '../../src/etcd/snapshot/snapshot-bytes.ts'
import { SnapshotStore } from '../../src/etcd/snapshot/snapshot-store.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

void test('a disk that reports an error for a snapshot is a fault of the host, and not of the program or the snapshot', async (t) => {
  // The first bytes of this file cannot be read (EIO).
  const file = await open('/proc/self/mem')
  t.teardown(() => file.close())
  await t.rejects(BoltFile.open(file), {
    code: 'HOST_UNAVAILABLE',
    message: 'the snapshot cannot be read: the disk reports an error',
  })
})

void test('a snapshot is read up to its end', async (t) => {
  const path = join(tempFolder('snapshot'), 'backup.db')
  writeFileSync(path, 'snapshot')
  const file = await open(path)
  t.teardown(() => file.close())
  for (const [position, length, text] of [
    [0, 4, 'snap'],
    [4, 8, 'shot'],
    [8, 1, ''],
  ] as const) {
    const buffer = Buffer.alloc(length)
    const bytes = await readAt(file, buffer, position)
    t.equal(buffer.toString('latin1', 0, bytes), text)
  }
})

void test('an error about a snapshot names its file, because a command may read several', async (t) => {
  const path = join(tempFolder('snapshot'), 'old backup.db')
  const message = (text: string) => `etcd snapshot ${path}: ${text}`
  await t.rejects(SnapshotStore.open(path), {
    message: message('cannot be read: there is no such file'),
  })
  writeFileSync(path, 'something else')
  await t.rejects(SnapshotStore.open(path), {
    code: 'SNAPSHOT_INVALID',
    message: message(
      'the file is not an etcd snapshot; pass a file that "etcdctl snapshot save" wrote, or a copy of member/snap/db',
    ),
  })
})
