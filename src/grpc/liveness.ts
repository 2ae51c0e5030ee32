import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2'
import { connect } from 'node:net'
import { stat } from 'node:fs/promises'

import { BridgeError } from '../errors.ts'

const HINTS: Readonly<Record<string, string>> = {
  ENOENT:
    'the file does not exist; check that the program runs, with this socket in its configuration',
  ECONNREFUSED: 'a process that has ended left this file; start the program again',
  EACCES: 'permission denied; run this as root, or as a member of the group of the socket',
  EINVAL: 'a socket path has at most 107 bytes',
  ENOTSOCK: 'this file is not a socket',
}

/**
 * Resolves when the server behind a unix socket answers an HTTP/2 ping (RFC 9113, section 6.7): it accepts connections, and its
 * event loop runs. Vault is not involved. Throws SOCKET_FAILED otherwise.
 */
export async function pingSocket(socket: string, timeoutMs: number): Promise<void> {
  const session = connectHttp2('http://localhost', { createConnection: () => connect(socket) })
  session.setTimeout(timeoutMs, () => session.destroy(new Error('no answer in time')))
  try {
    await ping(session)
  } catch (cause) {
    const kind = await findOtherKind(socket)
    if (kind !== undefined)
      throw new BridgeError(
        'SOCKET_FAILED',
        `${socket} is not a socket (${kind}); pass the path in kms.socket, csi.socket or csi.runtime.socket`,
        { cause },
      )
    const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : 'no answer'
    const hint = HINTS[reason]
    throw new BridgeError(
      'SOCKET_FAILED',
      `no server answers at ${socket} (${reason})${hint === undefined ? '' : `: ${hint}`}`,
      { cause },
    )
  } finally {
    session.destroy()
  }
}

/** What a path is that is not a socket. Linux refuses a connection to it as to a socket without a server. */
async function findOtherKind(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined || found.isSocket()) return undefined
  if (found.isDirectory()) return 'a folder'
  return found.isFile() ? 'a regular file' : 'a device or a pipe'
}

function ping(session: ClientHttp2Session): Promise<void> {
  return new Promise((resolve, reject) => {
    session.once('error', reject)
    session.once('close', () => reject(new Error('the connection was closed')))
    session.once('connect', () => {
      // A server that is stopping may close the connection in the same turn; ping would then throw.
      if (session.destroyed) return
      session.ping((error) => {
        if (error === null) resolve()
        else reject(error)
      })
    })
  })
}
