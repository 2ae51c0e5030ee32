import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { BridgeError } from '../errors.ts'
import { systemCodeOf } from '../files/system-error.ts'

/** sockaddr_un.sun_path has 108 bytes, including the terminating zero (unix(7)). */
export const MAX_PATH_BYTES = 107

/** Calls `use` with an address of the socket that bind(2) and connect(2) accept. */
export type Reach = <T>(path: string, use: (address: string) => Promise<T>) => Promise<T>

export const directly: Reach = (path, use) => use(path)

/** Through the number of the opened folder, which makes a short address of any path (proc_pid_fd(5)). */
export const throughFolder: Reach = async (path, use) => {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY
  const folder = await open(dirname(path), flags).catch((error: unknown) => {
    if (isDenied(error)) return undefined
    throw error
  })
  if (folder === undefined) {
    requireShortAlone(path)
    return directly(path, use)
  }
  try {
    return await use(`/proc/self/fd/${String(folder.fd)}/${basename(path)}`)
  } finally {
    await folder.close()
  }
}

/**
 * Under the permission model, Node.js denies a folder itself, but nothing in it, if the path of another granted file or folder begins
 * with that of the folder: /run/a, if /run/a/b or /run/ab is granted, too.
 */
export function isDenied(error: unknown): boolean {
  return systemCodeOf(error) === 'ERR_ACCESS_DENIED'
}

/** For a path without its folder, which Node.js denies ({@link isDenied}). */
function requireShortAlone(path: string): void {
  if (Buffer.byteLength(path) <= MAX_PATH_BYTES) return
  throw new BridgeError(
    'SOCKET_FAILED',
    `cannot check ${path}: Node.js denies its folder, because the path of another file that this process may use begins with that of the folder; then a socket path has at most ${String(MAX_PATH_BYTES)} bytes; move that file, or configure a shorter path`,
  )
}
