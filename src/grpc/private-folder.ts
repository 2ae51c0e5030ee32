import { createHash } from 'node:crypto'
import { lstat, mkdtemp, readdir, rmdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** A start takes milliseconds, so an older folder is not in use. */
const LEFT_AFTER_MS = 60_000
const HASH_DIGITS = 6
/** What the path of the folder adds to that of the socket's folder, with a slash in front: "/.0a1b2c-abcdef". */
export const PRIVATE_FOLDER_BYTES = '/.'.length + HASH_DIGITS + '-abcdef'.length

/** A dead socket, on its way from the path of the new one. As short as "s", so that it can be connected to. */
export const DEAD_SOCKET = 'd'

/**
 * Creates a folder beside the socket that only this user can enter (mkdtemp(3) creates it with mode 0700). Its name contains a
 * hash of the socket's name, which can be long, and a random part.
 */
export function makeFolderBeside(path: string): Promise<string> {
  return mkdtemp(`${dirname(path)}/${prefixFor(path)}`)
}

/** Whether a file beside the socket has the name of such a folder. */
export function isNameBeside(path: string, name: string): boolean {
  const prefix = prefixFor(path)
  return name.startsWith(prefix) && /^\w{6}$/.test(name.slice(prefix.length))
}

/**
 * Removes the empty folders that starts of this user left beside the socket when they were killed. Never rejects: without the
 * right to read the folder, they stay.
 */
export async function removeLeftFolders(path: string): Promise<void> {
  const folder = dirname(path)
  const names = await readdir(folder).catch(() => [])
  for (const name of names.filter((each) => isNameBeside(path, each))) {
    const left = join(folder, name)
    // rmdir(2) neither follows a link nor removes a folder with something in it.
    if (await isLeft(left)) await rmdir(left).catch(() => undefined)
  }
}

async function isLeft(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined)
  if (found === undefined || !found.isDirectory() || found.uid !== process.geteuid?.()) return false
  return (found.mode & 0o777) === 0o700 && Date.now() - found.mtimeMs > LEFT_AFTER_MS
}

function prefixFor(path: string): string {
  const hash = createHash('sha256').update(basename(path)).digest('hex')
  return `.${hash.slice(0, HASH_DIGITS)}-`
}
