import { connect, createServer, type Socket } from 'node:net'
import { pipeline } from 'node:stream'

import type { ListenAddress } from '../../config/config.ts'
import { BridgeError } from '../../errors.ts'
import { systemCodeOf } from '../../files/system-error.ts'

const MAX_CONNECTIONS = 64

export interface ForwarderOptions {
  readonly socket: string
  /** An address of the loopback interface. */
  readonly listen: ListenAddress
  /** Called for each connection that cannot be forwarded, with the reason. */
  readonly onFailure: (reason: string) => void
}

export interface Forwarder {
  readonly port: number
  stop(): void
}

/**
 * Forwards TCP connections to the socket of a volume, for clients that cannot use a unix socket. Throws SOCKET_FAILED if it
 * cannot listen. The socket need not exist when it starts, because the driver may be restarting.
 */
export async function startForwarder(options: ForwarderOptions): Promise<Forwarder> {
  const { listen, socket, onFailure } = options
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const volume = connect({ path: socket, allowHalfOpen: true })
    for (const end of [client, volume]) {
      open.add(end)
      end.once('close', () => open.delete(end))
    }
    volume.once('error', (error) => onFailure(systemCodeOf(error) ?? error.message))
    pipeline(client, volume, () => volume.destroy())
    pipeline(volume, client, () => client.destroy())
  })
  server.maxConnections = MAX_CONNECTIONS
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const code = systemCodeOf(cause) ?? 'unknown error'
      const message = `cannot listen on ${listen.host}:${String(listen.port)} (${code}); choose another --listen`
      reject(new BridgeError('SOCKET_FAILED', message, { cause }))
    })
    server.listen(listen.port, listen.host, resolve)
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : listen.port,
    stop: () => {
      server.close()
      for (const end of open) end.destroy()
    },
  }
}
