import { chmod, chown, lstat, mkdir, readFile, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { BridgeError } from '../errors.ts'

/** How long a server may take to accept before its socket counts as alive but silent (milliseconds). */
const CONNECT_TIMEOUT = 1_000
/** sockaddr_un.sun_path holds 108 bytes with the closing zero (unix(7)). */
const MAX_PATH_LENGTH = 107

export interface SocketAccess {
  /** Permission bits of the socket, such as 0o600. */
  readonly mode: number
  /** Group that owns the socket: a name of /etc/group or a number. Default: the process's group. */
  readonly group?: string | number
}

/**
 * Makes the path free for a new socket (design §2.12): makes the folder, removes a dead socket, and throws
 * SOCKET_IN_USE for a live one and SOCKET_BLOCKED for anything that is not a socket; both are left alone.
 */
export async function clearSocketPath(path: string): Promise<void> {
  if (Buffer.byteLength(path) > MAX_PATH_LENGTH) {
    throw new BridgeError(
      'SOCKET_BLOCKED',
      `${path}: a socket path has at most ${String(MAX_PATH_LENGTH)} bytes; choose a shorter kms.socket`,
    )
  }
  await makeFolder(path)
  const found = await lstat(path).catch(ignoreMissing(path))
  if (found === undefined) return
  if (!found.isSocket()) {
    throw new BridgeError(
      'SOCKET_BLOCKED',
      `${path} exists and is not a socket; it was left alone: remove it or choose another kms.socket`,
    )
  }
  if (await isAlive(path)) {
    throw new BridgeError(
      'SOCKET_IN_USE',
      `another process serves ${path}; it was left alone: stop it first, or choose another kms.socket`,
    )
  }
  await unlink(path).catch(ignoreMissing(path))
}

/** Runs `bind` such that the socket it makes is never open to others, then sets mode and group. */
export async function bindTightly(
  path: string,
  access: SocketAccess,
  bind: () => Promise<void>,
): Promise<void> {
  // The mode of a new socket is 0777 less the umask, and there is no other way to set it at birth.
  const before = process.umask(0o177)
  try {
    await bind()
  } finally {
    process.umask(before)
  }
  try {
    if (access.group !== undefined) await chown(path, -1, await findGroup(access.group))
    await chmod(path, access.mode)
  } catch (cause) {
    throw cause instanceof BridgeError ? cause : failSocket(path, 'set mode and group of', cause)
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
