import type { Stats } from 'node:fs'
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  unlink,
} from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { BridgeError } from '../errors.ts'

/** How long a server may take to accept before its socket counts as alive but silent (milliseconds). */
const CONNECT_TIMEOUT = 1_000
/** sockaddr_un.sun_path holds 108 bytes with the closing zero (unix(7)). */
const MAX_PATH_LENGTH = 107
/** What is added to a folder's path while its socket is made: "/.abcdef/s". */
const ROOM_LENGTH = 10

export interface SocketAccess {
  /** Permission bits of the socket, such as 0o600. */
  readonly mode: number
  /** Group that owns the socket: a name of /etc/group or a number. Default: the process's group. */
  readonly group?: string | number
}

/** A socket that is served at its path. */
export interface ServedSocket {
  /** Removes the socket from its path, unless a successor's stands there by now. */
  release(): Promise<void>
}

/**
 * Makes a socket at `path` (design §2.12). `bind` makes it in a folder that no other user can enter, where it
 * gets its mode and group; only then is it linked to its path. So it is never open to others, of two that
 * start at once one wins, and the end of this server (libuv unlinks the name that was bound) never takes a
 * successor's socket away. A dead socket is removed; SOCKET_IN_USE for a live one and SOCKET_BLOCKED for
 * anything that is not a socket, and both are left alone.
 */
export async function serveSocket(
  path: string,
  access: SocketAccess,
  bind: (path: string) => Promise<void>,
): Promise<ServedSocket> {
  await makeFolder(path)
  const room = await makeRoom(path)
  try {
    const born = join(room, 's')
    requireShort(path, Math.max(Buffer.byteLength(path), Buffer.byteLength(born)))
    await clearPath(path, room)
    await bind(born)
    await setAccess(born, path, access)
    const own = await lstat(born)
    await publish(born, path, room)
    return { release: () => release(path, own) }
  } finally {
    await rm(room, { recursive: true, force: true })
  }
}

/** Tries of who starts at the same time as others: each try either wins or finds the winner. */
const PUBLISH_TRIES = 5

async function publish(born: string, path: string, room: string): Promise<void> {
  for (let tries = 1; tries <= PUBLISH_TRIES; tries += 1) {
    try {
      return await link(born, path)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw failSocket(path, 'make', cause)
      }
    }
    await clearPath(path, room)
  }
  throw inUse(path)
}

async function release(path: string, own: Stats): Promise<void> {
  const found = await lstat(path).catch(ignoreMissing(path))
  if (found !== undefined && isSame(found, own)) await unlink(path).catch(ignoreMissing(path))
}

function isSame(one: Stats, other: Stats): boolean {
  return one.ino === other.ino && one.dev === other.dev
}

async function clearPath(path: string, room: string): Promise<void> {
  const found = await lstat(path).catch(ignoreMissing(path))
  if (found === undefined) return
  if (!found.isSocket()) {
    throw new BridgeError(
      'SOCKET_BLOCKED',
      `${path} exists and is not a socket; it was left alone: remove it, or configure another socket`,
    )
  }
  if (await isAlive(path)) throw inUse(path)
  await removeDead(path, found, room)
}

/** Takes the dead socket away; one that somebody else put there since it was looked at is put back. */
async function removeDead(path: string, dead: Stats, room: string): Promise<void> {
  const taken = join(room, 'dead')
  try {
    await rename(path, taken)
    if (!isSame(await lstat(taken), dead)) await link(taken, path)
    await unlink(taken)
  } catch (cause) {
    ignoreMissing(path)(cause as NodeJS.ErrnoException)
  }
}

async function setAccess(born: string, path: string, access: SocketAccess): Promise<void> {
  try {
    if (access.group !== undefined) await chown(born, -1, await findGroup(access.group))
    await chmod(born, access.mode)
  } catch (cause) {
    throw cause instanceof BridgeError ? cause : failSocket(path, 'set mode and group of', cause)
  }
}

function requireShort(path: string, length: number): void {
  if (length <= MAX_PATH_LENGTH) return
  throw new BridgeError(
    'SOCKET_BLOCKED',
    `${path}: a socket path has at most ${String(MAX_PATH_LENGTH)} bytes, and its folder at most ${String(MAX_PATH_LENGTH - ROOM_LENGTH)}; configure a shorter path`,
  )
}

function inUse(path: string): BridgeError {
  return new BridgeError(
    'SOCKET_IN_USE',
    `another process serves ${path}; it was left alone: stop it first, or configure another socket`,
  )
}

/** A folder for this process alone beside the socket (mkdtemp(3) makes it with mode 0700). */
async function makeRoom(path: string): Promise<string> {
  try {
    return await mkdtemp(`${dirname(path)}/.`)
  } catch (cause) {
    throw failSocket(path, 'make', cause)
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o750 })
  } catch (cause) {
    throw failSocket(path, 'make the folder of', cause)
  }
}

/** A connection that is refused means that nobody listens any more, as after SIGKILL or a power cut. */
function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, timeout: CONNECT_TIMEOUT })
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
      else reject(failSocket(path, 'look at', error))
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
    throw new BridgeError(
      'SOCKET_FAILED',
      `kms.socketGroup: there is no group ${group} on this host`,
    )
  }
  return Number(id)
}

function ignoreMissing(path: string): (error: NodeJS.ErrnoException) => undefined {
  return (error) => {
    if (error.code === 'ENOENT') return undefined
    throw failSocket(path, 'look at', error)
  }
}

function failSocket(path: string, doing: string, cause: unknown): BridgeError {
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error'
  return new BridgeError(
    'SOCKET_FAILED',
    `cannot ${doing} ${path} (${code}); does this user have the right to?`,
    {
      cause,
    },
  )
}
