import { createServer } from 'node:net'

import { BridgeError } from '../../errors.ts'
import { isHanging, readNamed, readWithinTime } from '../../files/bounded-read.ts'
import { isServed, serveSocket, type ServedSocket } from '../../grpc/unix-socket.ts'

/** Only plugins of this user can ask who has the file. */
const MODE = 0o600

/**
 * Reserves a file for one plugin until that plugin releases it or ends. If two plugins shared a sealed file, each would overwrite
 * the local keys of the other. The plugin listens on a socket beside the file: the kernel refuses connections once the process has
 * ended in any way, also between containers that share the folder, where process ids mean nothing.
 */
export class FileClaim {
  readonly #path: string
  #socket: ServedSocket | undefined

  constructor(path: string) {
    this.#path = `${path}.sock`
  }

  /**
   * Whether this plugin has the file now; false if another one has it. Throws HOST_FAILED or HOST_UNAVAILABLE, which name the socket,
   * or what node:fs throws.
   */
  async hold(): Promise<boolean> {
    return readNamed(this.#path, async () => {
      if (await this.#socket?.isInPlace()) return true
      // Something removed the socket, so another plugin may have the file.
      this.#socket?.close()
      this.#socket = undefined
      return this.#serve()
    })
  }

  /** Whether an earlier request at the folder of the file has not ended, as on a network mount that hangs. */
  get isHanging(): boolean {
    return isHanging(this.#path)
  }

  /**
   * Whether another plugin answers at the socket. Never throws. A user without the right to connect has no right to read the file
   * either, because both have mode 0600.
   */
  async isHeldElsewhere(): Promise<boolean> {
    if (this.#socket !== undefined) return false
    return readWithinTime(this.#path, () => isServed(this.#path)).catch(() => false)
  }

  async #serve(): Promise<boolean> {
    try {
      this.#socket = await serveSocket(this.#path, { mode: MODE, anyLength: true }, listen)
      return true
    } catch (thrown) {
      if (!(thrown instanceof BridgeError)) throw thrown
      if (thrown.code === 'SOCKET_IN_USE') return false
      throw thrown.code === 'SOCKET_BLOCKED' ? this.#blocked(thrown) : (thrown.cause ?? thrown)
    }
  }

  #blocked(cause: BridgeError): BridgeError {
    const message = `${this.#path} is not a socket; remove it if no other plugin uses the sealed file`
    return new BridgeError('HOST_FAILED', message, { cause })
  }

  /** Another plugin can have the file once this has resolved. */
  async release(): Promise<void> {
    const socket = this.#socket
    this.#socket = undefined
    await socket?.release().catch(() => undefined)
    socket?.close()
  }
}

/** A connection says that the plugin lives, and nothing else. */
async function listen(path: string): Promise<() => void> {
  const server = createServer((connection) => connection.destroy()).unref()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject).listen(path, resolve)
  await promise
  // No free file descriptor for a connection, for example: its client sees that the plugin lives.
  server.on('error', () => undefined)
  return () => void server.close()
}
