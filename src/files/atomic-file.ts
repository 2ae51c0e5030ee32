import { open, lstat, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { BridgeError } from '../errors.ts'
import { systemCodeOf } from './system-error.ts'

/** A file with its content and mode. */
export interface HostFile {
  readonly path: string
  readonly mode: number
  readonly content: string
}

/** A file that may hold bytes. */
interface NewFile extends Omit<HostFile, 'content'> {
  readonly content: string | Uint8Array
}

/** Writes a file unless it exists with this content and mode; returns whether it was written. Throws HOST_FAILED. */
export async function putHostFile(file: HostFile): Promise<boolean> {
  try {
    if (await isUpToDate(file)) return false
    await replaceFile(file)
    return true
  } catch (cause) {
    throw explain(file.path, 'written', cause)
  }
}

/** Writes a file that must not exist yet; a part of one is removed. Throws HOST_FAILED. */
export async function createHostFile(file: HostFile): Promise<void> {
  try {
    await writeNew(file.path, file)
    await syncFolder(dirname(file.path))
  } catch (cause) {
    throw explain(file.path, 'written', cause)
  }
}

/** Removes a file; returns whether it existed. Throws HOST_FAILED. */
export async function removeHostFile(path: string): Promise<boolean> {
  try {
    return await removeFile(path)
  } catch (cause) {
    throw explain(path, 'removed', cause)
  }
}

async function isUpToDate({ path, mode, content }: HostFile): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined)
  if (found?.isFile() !== true || (found.mode & 0o777) !== mode) return false
  return (await readFile(path, 'utf8')) === content
}

/**
 * Replaces a file atomically: a reader sees the old or the new content, even after a power cut. Throws what node:fs
 * throws; the old file is then unchanged.
 */
export async function replaceFile(file: NewFile): Promise<void> {
  const unfinished = unfinishedOf(file.path)
  await rm(unfinished, { force: true })
  await writeNew(unfinished, file, () => rename(unfinished, file.path))
  await syncFolder(dirname(file.path))
}

/** Writes a file that does not exist, and then calls `finish`; after an error, it does not exist either. */
async function writeNew(
  path: string,
  { mode, content }: Pick<NewFile, 'mode' | 'content'>,
  finish?: () => Promise<void>,
): Promise<void> {
  const file = await open(path, 'wx', mode)
  try {
    // The mode passed to open(2) is subject to the umask.
    await file.chmod(mode)
    await file.writeFile(content)
    await file.sync()
    await finish?.()
  } catch (error) {
    // It may be secret, as a share of an escrow is.
    await rm(path, { force: true }).catch(() => undefined)
    throw error
  } finally {
    await file.close()
  }
}

/**
 * The new content until it is complete; a process that is killed leaves it. The kubelet ignores files whose name starts with a
 * dot in its folder of static pods (kubernetes: pkg/kubelet/config/file.go).
 */
function unfinishedOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.new`)
}

/**
 * Removes a file, and what an interrupted {@link replaceFile} left of it, so that it stays removed after a power cut; returns
 * whether it existed. Throws what node:fs throws.
 */
export async function removeFile(path: string): Promise<boolean> {
  try {
    return await removeName(path)
  } finally {
    // Also if a directory in place of the file prevents its removal.
    await removeName(unfinishedOf(path))
  }
}

async function removeName(path: string): Promise<boolean> {
  try {
    await rm(path)
    await syncFolder(dirname(path))
    return true
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return false
    throw error
  }
}

/** A new name in a folder survives a power cut only once the folder is synced (fsync(2)). */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EEXIST: 'a file has this name already, perhaps of another run; nothing was replaced',
  ENOENT: 'its folder does not exist; check that the host folder is mounted',
  ENOTDIR: 'part of its path is not a directory',
  EACCES: 'permission denied; run this command as root',
  EPERM: 'permission denied; run this command as root',
  EROFS: 'the file system is mounted read-only',
  ENOSPC: 'the disk is full',
  EISDIR: 'a directory has this name; remove it',
}

function explain(path: string, action: string, cause: unknown): BridgeError {
  const code = systemCodeOf(cause) ?? 'unknown error'
  const message = `${path} cannot be ${action}: ${REASONS[code] ?? code}`
  return new BridgeError('HOST_FAILED', message, { cause })
}
