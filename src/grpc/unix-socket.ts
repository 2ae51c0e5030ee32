import type { Stats } from 'node:fs'
import { chmod, chown, link, lstat, mkdir, readFile, rename, rm, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { BridgeError } from '../errors.ts'
import { systemCodeOf } from '../files/system-error.ts'
import {
  DEAD_SOCKET,
  makeFolderBeside,
  PRIVATE_FOLDER_BYTES,
  removeLeftFolders,
} from './private-folder.ts'
import { directly, isDenied, MAX_PATH_BYTES, throughFolder, type Reach } from './socket-reach.ts'

/** A server that takes longer to accept counts as alive but silent. */
const CONNECT_TIMEOUT_MS = 1_000
/** What the path of the private folder adds while the socket is created. */
const PRIVATE_PATH_BYTES = PRIVATE_FOLDER_BYTES + '/s'.length
/** Maximum number of attempts when several processes start at once: each attempt wins, or finds the winner. */
const PUBLISH_ATTEMPTS = 5

export interface SocketAccess {
  /** Permission bits of the socket, such as 0o600. */
  readonly mode: number
  /**
   * Group that owns the socket, and its folder if that is created here: a name in /etc/group, or a number. Default: the group
   * of the process.
   */
  readonly group?: string | number | undefined
  /**
   * Allows a path that is longer than the address of a socket: for clients that use a shorter path to the folder, and for sockets that
   * only this program uses. The folder must exist.
   */
  readonly anyLength?: boolean
}

/** A socket that is served at its path. */
export interface ServedSocket {
  /** Whether its path still leads to it. */
  isInPlace(): Promise<boolean>
  /** Stops listening; its path is left as it is. */
  close(): void
  /** Removes the socket from its path, unless a successor has put its own there. */
  release(): Promise<void>
}

/** Listens at a path; returns a function that stops listening. */
export type Bind = (path: string) => Promise<() => void>

/**
 * Creates a socket at `path` (docs/design.md, "The socket"). `bind` creates it in a private folder, where it gets its mode
 * and group; only then is it linked to its path. So others can never open it; of two processes that start at once, one wins;
 * and when this server ends, libuv unlinks only the name that was bound, never a successor's socket. Removes a dead socket.
 * Throws SOCKET_IN_USE for a live one and SOCKET_BLOCKED for anything that is not a socket, and changes neither.
 */
export async function serveSocket(
  path: string,
  access: SocketAccess,
  bind: Bind,
): Promise<ServedSocket> {
  const group = access.group === undefined ? undefined : await findGroup(access.group)
  const { anyLength = false } = access
  const reach = anyLength ? throughFolder : directly
  if (!anyLength) await makeFolder(path, group)
  await removeLeftFolders(path)
  const privateFolder = await makePrivateFolder(path)
  try {
    // A name that no other socket has: libuv unlinks it when the server ends, and its folder's number may be another folder's then.
    const bound = join(privateFolder, anyLength ? basename(privateFolder) : 's')
    if (!anyLength) requireShort(path, Math.max(Buffer.byteLength(path), Buffer.byteLength(bound)))
    await clearPath(path, privateFolder, reach)
    const close = await reach(bound, bind).catch(rethrow(path, 'create'))
    try {
      await setAccess(bound, path, access.mode, group)
      const own = await lstat(bound)
      await publish(bound, path, privateFolder, reach)
      return {
        isInPlace: async () => isOwn(await lstat(path).catch(ignoreMissing(path)), own),
        close,
        release: () => release(path, own),
      }
    } catch (error) {
      close()
      throw error
    }
  } finally {
    await rm(privateFolder, { recursive: true, force: true })
  }
}

async function publish(
  bound: string,
  path: string,
  privateFolder: string,
  reach: Reach,
): Promise<void> {
  for (let attempt = 1; attempt <= PUBLISH_ATTEMPTS; attempt += 1) {
    try {
      return await link(bound, path)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw failSocket(path, 'create', cause)
      }
    }
    await clearPath(path, privateFolder, reach)
  }
  throw inUse(path)
}

async function release(path: string, own: Stats): Promise<void> {
  const found = await lstat(path).catch(ignoreMissing(path))
  if (isOwn(found, own)) await unlink(path).catch(ignoreMissing(path))
}

function isOwn(found: Stats | undefined, own: Stats): boolean {
  return found?.ino === own.ino && found.dev === own.dev
}

async function clearPath(path: string, privateFolder: string, reach: Reach): Promise<void> {
  const found = await lstat(path).catch(ignoreMissing(path))
  if (found === undefined) return
  if (!found.isSocket()) {
    throw new BridgeError(
      'SOCKET_BLOCKED',
      `${path} exists and is not a socket; remove it, or configure another socket`,
    )
  }
  const check = reach(path, (address) => isAlive(path, address))
  if (await check.catch(rethrow(path, 'check'))) throw inUse(path)
  await removeDead(path, found, privateFolder, reach)
}

/** Removes the dead socket. If another socket was created there since the check, it is put back. */
async function removeDead(
  path: string,
  dead: Stats,
  privateFolder: string,
  reach: Reach,
): Promise<void> {
  const moved = join(privateFolder, DEAD_SOCKET)
  try {
    await rename(path, moved)
    if (!isOwn(await lstat(moved), dead)) await putBack(moved, path, reach)
    await unlink(moved)
  } catch (cause) {
    if (cause instanceof BridgeError) throw cause
    ignoreMissing(path)(cause as NodeJS.ErrnoException)
  }
}

/** Another process may have taken the path meanwhile. Then no client can reach the socket that was moved. */
async function putBack(moved: string, path: string, reach: Reach): Promise<void> {
  try {
    await link(moved, path)
  } catch (cause) {
    const check = reach(moved, (address) => isAlive(path, address))
    if (!(await check.catch(rethrow(path, 'check')))) return
    if (systemCodeOf(cause) !== 'EEXIST')
      throw failSocket(path, 'put back the socket of another process at', cause)
    throw inUse(
      path,
      '; a third process, which started at the same moment, lost its socket there: restart it',
    )
  }
}

async function setAccess(
  bound: string,
  path: string,
  mode: number,
  group: number | undefined,
): Promise<void> {
  try {
    if (group !== undefined) await chown(bound, -1, group)
    await chmod(bound, mode)
  } catch (cause) {
    throw failSocket(path, 'set the mode and group of', cause)
  }
}

function requireShort(path: string, length: number): void {
  if (length <= MAX_PATH_BYTES) return
  throw new BridgeError(
    'SOCKET_BLOCKED',
    `${path}: a socket path has at most ${String(MAX_PATH_BYTES)} bytes, and its folder at most ${String(MAX_PATH_BYTES - PRIVATE_PATH_BYTES)}; configure a shorter path`,
  )
}

function inUse(path: string, note = ''): BridgeError {
  return new BridgeError(
    'SOCKET_IN_USE',
    `another process serves ${path}; stop it first, or configure another socket${note}`,
  )
}

async function makePrivateFolder(path: string): Promise<string> {
  try {
    return await makeFolderBeside(path)
  } catch (cause) {
    throw failSocket(path, 'create', cause)
  }
}

/** Creates the folder of the socket if it is missing, with the group of the socket, which clients could not reach otherwise. */
async function makeFolder(path: string, group: number | undefined): Promise<void> {
  try {
    const made = await mkdir(dirname(path), { recursive: true, mode: 0o750 })
    if (made === undefined || group === undefined) return
    for (const folder of foldersBetween(made, dirname(path))) await chown(folder, -1, group)
  } catch (cause) {
    // If the folder does not exist, the next step reports it.
    if (!isDenied(cause)) throw failSocket(path, 'create the folder of', cause)
  }
}

/** The folders from `first` down to `last`. */
function foldersBetween(first: string, last: string): readonly string[] {
  return last === first || dirname(last) === last
    ? [last]
    : [...foldersBetween(first, dirname(last)), last]
}

/** Whether a process serves the socket at a path of any length. Throws SOCKET_FAILED if that cannot be found out. */
export function isServed(path: string): Promise<boolean> {
  const check = throughFolder(path, (address) => isAlive(path, address))
  return check.catch(rethrow(path, 'check'))
}

/** A refused connection means that no process listens, as after SIGKILL or a power cut. */
function isAlive(path: string, address: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: address, timeout: CONNECT_TIMEOUT_MS })
    const end = (alive: boolean) => {
      socket.destroy()
      resolve(alive)
    }
    socket.once('connect', () => end(true))
    socket.once('timeout', () => end(true))
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') end(false)
      // EAGAIN: the backlog of a living server is full.
      else if (error.code === 'EAGAIN') end(true)
      else reject(failSocket(path, 'check', error))
    })
  })
}

async function findGroup(group: string | number): Promise<number> {
  if (typeof group === 'number') return group
  const file = await readFile('/etc/group', 'utf8')
  const id = file
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === group)?.[2]
  if (id === undefined) {
    throw new BridgeError('SOCKET_FAILED', `kms.socketGroup: this host has no group ${group}`)
  }
  return Number(id)
}

function ignoreMissing(path: string): (error: NodeJS.ErrnoException) => undefined {
  return (error) => {
    if (error.code === 'ENOENT') return undefined
    throw failSocket(path, 'check', error)
  }
}

/** For what node:fs and node:net throw. */
function rethrow(path: string, doing: string): (error: unknown) => never {
  return (error) => {
    throw error instanceof BridgeError ? error : failSocket(path, doing, error)
  }
}

function failSocket(path: string, doing: string, cause: unknown): BridgeError {
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error'
  return new BridgeError(
    'SOCKET_FAILED',
    `cannot ${doing} ${path} (${code}); check that this user is allowed to`,
    { cause },
  )
}
