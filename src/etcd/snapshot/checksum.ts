import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'

import { BridgeError } from '../../errors.ts'
import { readAt } from './snapshot-bytes.ts'

const CHECKSUM_BYTES = 32
/**
 * A database file is a multiple of this size; a remainder of 32 bytes is the checksum (etcd: etcdutl/snapshot/v3_snapshot.go,
 * hasChecksum).
 */
const UNIT_BYTES = 512
const CHUNK_BYTES = 1 << 20

export type Checksum = 'valid' | 'absent'

/**
 * Checks a snapshot against the SHA-256 that `etcdctl snapshot save` appends, by reading the whole file. A copy of a database
 * file has none. Throws SNAPSHOT_INVALID if they differ.
 */
export async function checkSnapshot(file: FileHandle): Promise<Checksum> {
  const { size } = await file.stat()
  const remainder = size % UNIT_BYTES
  if (remainder === 0) return 'absent'
  if (remainder !== CHECKSUM_BYTES) {
    throw new BridgeError(
      'SNAPSHOT_INVALID',
      `the file is truncated or not an etcd snapshot: no snapshot has ${String(size)} bytes; copy it again`,
    )
  }
  const expected = Buffer.alloc(CHECKSUM_BYTES)
  await readAt(file, expected, size - CHECKSUM_BYTES)
  if (!(await digest(file, size - CHECKSUM_BYTES)).equals(expected)) {
    throw new BridgeError(
      'SNAPSHOT_INVALID',
      'the snapshot is damaged or truncated: its SHA-256 does not match the checksum at its end; copy it again',
    )
  }
  return 'valid'
}

async function digest(file: FileHandle, length: number): Promise<Buffer> {
  const sum = createHash('sha256')
  const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  for (let position = 0; position < length;) {
    const wanted = Math.min(CHUNK_BYTES, length - position)
    const bytes = await readAt(file, chunk.subarray(0, wanted), position)
    if (bytes === 0) break
    sum.update(chunk.subarray(0, bytes))
    position += bytes
  }
  return sum.digest()
}
