import { Server, ServerCredentials } from '@grpc/grpc-js'
import { BridgeError } from '../errors.ts'
import type { GrpcService } from './service.ts'
import { serveSocket, type ServedSocket, type SocketAccess } from './unix-socket.ts'

/** Largest request of the KMS plugin: annotations may have 32 KiB (kmsv2/envelope.go, annotationsMaxSize), a seed 32 bytes. */
const MAX_REQUEST_BYTES = 128 * 1024

export interface GrpcServerOptions {
  /** Path of the unix socket. */
  readonly socket: string
  readonly access: SocketAccess
  readonly services: readonly GrpcService[]
  /** Largest request, in bytes. Default: 131,072, which holds any KMS request. */
  readonly maxRequestBytes?: number
}

/** A gRPC server on a unix socket. */
export interface GrpcServer {
  /**
   * Refuses new calls and waits for those in flight, at most `grace` milliseconds; then ends them. The
   * socket goes at once, so that a successor can bind.
   */
  stop(grace: number): Promise<void>
}

/** Serves; throws SOCKET_IN_USE, SOCKET_BLOCKED or SOCKET_FAILED if the socket cannot be had. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const server = new Server({
    'grpc.max_receive_message_length': options.maxRequestBytes ?? MAX_REQUEST_BYTES,
    // Our own time limit of a call ends it before the HTTP/2 session is looked at; no pings on a socket.
    'grpc.max_concurrent_streams': 4096,
  })
  for (const service of options.services) {
    server.addService(service.definition, service.implementation)
  }
  try {
    const socket = await serveSocket(options.socket, options.access, (path) =>
      bind(server, path, options.socket),
    )
    return { stop: (grace) => stop(server, socket, grace) }
  } catch (error) {
    server.forceShutdown()
    throw error
  }
}

function bind(server: Server, path: string, socket: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix://${path}`, ServerCredentials.createInsecure(), (cause) => {
      if (cause === null) resolve()
      else {
        const message = `cannot listen on ${socket} (${cause.message}); is the folder writable for this user?`
        reject(new BridgeError('SOCKET_FAILED', message, { cause }))
      }
    })
  })
}

/** tryShutdown waits for ever for a client that is silent (grpc-node#2091), so it gets a limit. */
async function stop(server: Server, socket: ServedSocket, grace: number): Promise<void> {
  // A socket that cannot be removed is found dead and removed by the next start.
  await socket.release().catch(() => undefined)
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown()
      resolve()
    }, grace)
    server.tryShutdown(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
