import { constants } from 'node:fs'
import { chmod, open, lstat, readFile, rename, rm, type FileHandle } from 'node:fs/promises'
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

const { O_WRONLY, O_CREAT, O_EXCL, O_SYNC, O_NOFOLLOW, O_NONBLOCK } = constants
/**
 * Each write then does what fsync(2) does (open(2), "Synchronized I/O"), which Node.js forbids under its permission model
 * (docs/design.md, "Permissions").
 */
const NEW_FILE = O_WRONLY | O_CREAT | O_EXCL | O_SYNC
/** To overwrite a file: not one behind a link, and without waiting for the reader of a named pipe. */
const OLD_FILE = O_WRONLY | O_SYNC | O_NOFOLLOW | O_NONBLOCK
/** Any changed byte makes a sealed file, or a record, unusable. */
const MAX_ERASED_BYTES = 64 * 1024

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
}

/** Writes a file that does not exist, and then calls `finish`; after an error, it does not exist either. */
async function writeNew(
  path: string,
  { mode, content }: Pick<NewFile, 'mode' | 'content'>,
  finish?: () => Promise<void>,
): Promise<void> {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  const file = await open(path, NEW_FILE, mode)
  try {
    // The mode passed to open(2) is subject to the umask.
    if (((await file.stat()).mode & 0o777) !== mode) await setMode(path, file, mode)
    await file.writeFile(bytes)
    await finish?.()
    await syncName(dirname(path), file, bytes)
  } catch (error) {
    // It may be secret, as a share of an escrow is.
    await rm(path, { force: true }).catch(() => undefined)
    throw error
  } finally {
    await file.close()
  }
}

/** Node.js forbids fchmod(2) under its permission model. */
function setMode(path: string, file: FileHandle, mode: number): Promise<void> {
  return process.permission === undefined ? file.chmod(mode) : chmod(path, mode)
}

/**
 * Makes the present name of a file durable. Where the folder cannot be synced, the last byte of the file is written once more: a
 * rename also changes the file's inode, and ext4, XFS and btrfs write both or neither (docs/design.md, "Permissions").
 */
async function syncName(folder: string, file: FileHandle, content: Uint8Array): Promise<void> {
  if (process.permission === undefined) return syncFolder(folder)
  const last = content.length - 1
  if (last >= 0) await file.write(content, last, 1, last)
}

/**
 * The new content until it is complete; a process that is killed leaves it. The kubelet ignores files whose name starts with a
 * dot in its folder of static pods (kubernetes: pkg/kubelet/config/file.go).
 */
function unfinishedOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.new`)
}

/**
 * Removes a file, and what an interrupted {@link replaceFile} left of it; returns whether it existed. After a power cut, it is
 * still removed, or its content is destroyed, unless the file system had no space to overwrite it. Throws what node:fs throws.
 */
export async function removeFile(path: string): Promise<boolean> {
  try {
    if (process.permission !== undefined) await erase(path)
    return await removeName(path)
  } finally {
    // Also if a directory in place of the file prevents its removal.
    await removeName(unfinishedOf(path))
  }
}

async function removeName(path: string): Promise<boolean> {
  try {
    await rm(path)
    if (process.permission === undefined) await syncFolder(dirname(path))
    return true
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return false
    throw error
  }
}

/** Overwrites the start of a regular file, where the removal of its name cannot be synced. */
async function erase(path: string): Promise<void> {
  // The removal reports what is wrong with the file.
  const file = await open(path, OLD_FILE).catch(() => undefined)
  if (file === undefined) return
  try {
    const stat = await file.stat()
    if (stat.isFile()) await file.write(Buffer.alloc(Math.min(stat.size, MAX_ERASED_BYTES)), 0)
  } catch {
    // A copy-on-write file system that is full. The name is removed all the same.
  } finally {
    await file.close()
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
