import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'

import { BridgeError } from '../../errors.ts'

const CHECKSUM = 32
/** Smallest unit of a database file: what is over is a checksum (etcdutl, snapshot/v3_snapshot.go: hasChecksum). */
const UNIT = 512
const CHUNK = 1 << 20

export type Checksum = 'right' | 'absent'

/**
 * Holds a snapshot against the SHA-256 that `etcdctl snapshot save` puts behind it, by reading the whole file once. A copy
 * of a database file has none. Throws SNAPSHOT_INVALID if they differ.
 */
export async function checkSnapshot(file: FileHandle): Promise<Checksum> {
  const { size } = await file.stat()
  const over = size % UNIT
  if (over === 0) return 'absent'
  if (over !== CHECKSUM) {
    throw new BridgeError(
      'SNAPSHOT_INVALID',
      `the file is not an etcd snapshot, or is truncated: no snapshot has ${String(size)} bytes; copy it again`,
    )
  }
  const expected = Buffer.alloc(CHECKSUM)
  await file.read(expected, 0, CHECKSUM, size - CHECKSUM)
  if (!(await sumUp(file, size - CHECKSUM)).equals(expected)) {
    throw new BridgeError(
      'SNAPSHOT_INVALID',
      'the snapshot is damaged or truncated: its SHA-256 is not the one at its end; copy it again',
    )
  }
  return 'right'
}

async function sumUp(file: FileHandle, length: number): Promise<Buffer> {
  const sum = createHash('sha256')
  const chunk = Buffer.allocUnsafeSlow(CHUNK)
  for (let position = 0; position < length;) {
    const wanted = Math.min(CHUNK, length - position)
    const { bytesRead } = await file.read(chunk, 0, wanted, position)
    if (bytesRead === 0) break
    sum.update(chunk.subarray(0, bytesRead))
    position += bytesRead
  }
  return sum.digest()
}
