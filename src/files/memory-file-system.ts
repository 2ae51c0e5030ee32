import { statfs } from 'node:fs/promises'

/** TMPFS_MAGIC and RAMFS_MAGIC of statfs(2). */
const IN_MEMORY: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6])

/** Whether a file or folder is on a file system in memory. Throws the system's error if it does not exist. */
export async function isInMemory(path: string): Promise<boolean> {
  const { type } = await statfs(path)
  return IN_MEMORY.has(type)
}
