import { open, lstat, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { BridgeError } from '../errors.ts'

/** A file as the host shall have it. */
export interface HostFile {
  readonly path: string
  readonly mode: number
  readonly content: string
}

/**
 * Makes a file on the host be as it shall be; gives whether it was not. A reader sees the old one or the new one,
 * also after a power cut. Throws HOST_FAILED, with the old one in its place.
 */
export async function putHostFile(file: HostFile): Promise<boolean> {
  try {
    if (await isAsWanted(file)) return false
    await replace(file)
    return true
  } catch (cause) {
    throw explain(file.path, 'written', cause)
  }
}

/** Takes a file off the host; gives whether it was there. Throws HOST_FAILED. */
export async function removeHostFile(path: string): Promise<boolean> {
  try {
    await rm(path)
    await syncFolder(dirname(path))
    return true
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return false
    throw explain(path, 'removed', cause)
  }
}

async function isAsWanted({ path, mode, content }: HostFile): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined)
  if (found?.isFile() !== true || (found.mode & 0o777) !== mode) return false
  return (await readFile(path, 'utf8')) === content
}

async function replace({ path, mode, content }: HostFile): Promise<void> {
  // With a dot in front: the kubelet passes over such files in its folder of static pods.
  const unfinished = join(dirname(path), `.${basename(path)}.new`)
  await rm(unfinished, { force: true })
  const file = await open(unfinished, 'wx', mode)
  try {
    await file.chmod(mode)
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(unfinished, path)
  await syncFolder(dirname(path))
}

/** The name of a file is safe from a power cut once its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'its folder is not there; is the folder of the host mounted?',
  ENOTDIR: 'its folder is not one',
  EACCES: 'this user may not; run it as root',
  EPERM: 'this user may not; run it as root',
  EROFS: 'it is mounted read-only',
  ENOSPC: 'the disk is full',
  EISDIR: 'a folder is in its place; remove it by hand',
}

function explain(path: string, done: string, cause: unknown): BridgeError {
  const code = codeOf(cause)
  const message = `${path} cannot be ${done}: ${REASONS[code] ?? code}`
  return new BridgeError('HOST_FAILED', message, { cause })
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
}
