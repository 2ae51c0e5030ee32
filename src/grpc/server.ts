import type { Server } from '@grpc/grpc-js'
import { setTimeout as sleep } from 'node:timers/promises'

import { BridgeError } from '../errors.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Clock } from '../time/clock.ts'
import { ClientBounds, DEFAULT_LIMITS, type ClientLimits } from './client-bounds.ts'
import { createHttp2GrpcServer, listen } from './http2-server.ts'
import type { GrpcService } from './service.ts'
import { keepServing } from './socket-keeper.ts'
import { serveSocket, type SocketAccess } from './unix-socket.ts'

/**
 * Largest request of the KMS plugin. kube-apiserver accepts annotations of at most 32 KiB (kmsv2/envelope.go,
 * annotationsMaxSize); the rest is more than enough for the ciphertext of a DEK seed.
 */
const MAX_REQUEST_BYTES = 128 * 1024
/** Time for clients to read the answer of the last call and to close. */
const CLOSE_GRACE_MS = 250

export interface GrpcServerOptions {
  /** Path of the unix socket. */
  readonly socket: string
  readonly access: SocketAccess
  readonly services: readonly GrpcService[]
  readonly clock: Clock
  readonly log: Logger
  /** Default: 131,072, which holds any KMS request. */
  readonly maxRequestBytes?: number | undefined
  /** Default: {@link DEFAULT_LIMITS}. */
  readonly limits?: Partial<ClientLimits> | undefined
}

/** A gRPC server on a unix socket. */
export interface GrpcServer {
  /** Whether new clients reach it at its path. */
  readonly isServing: boolean
  /**
   * Refuses new calls and waits for those in flight, at most `graceMs`; then ends them. The socket is removed at
   * once, so that a successor can bind.
   */
  stop(graceMs: number): Promise<void>
}

/** Serves; throws SOCKET_IN_USE, SOCKET_BLOCKED or SOCKET_FAILED if it cannot listen on the socket. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const { socket, access, services, clock, log } = options
  const server = createHttp2GrpcServer(options.maxRequestBytes ?? MAX_REQUEST_BYTES)
  for (const { definition, implementation } of services) {
    server.addService(definition, implementation)
  }
  const bounds = new ClientBounds({ ...DEFAULT_LIMITS, ...options.limits })
  const serve = () => serveSocket(socket, access, (path) => bind(server, bounds, path, socket))
  try {
    const keeper = keepServing({ socket, served: await serve(), serve, clock, log })
    return {
      get isServing() {
        return keeper.isServing
      },
      stop: async (graceMs) => {
        // If the socket cannot be removed, the next start finds it dead and removes it.
        await keeper.release().catch(() => undefined)
        await stop(server, bounds, graceMs)
      },
    }
  } catch (error) {
    bounds.end()
    server.forceShutdown()
    throw error
  }
}

async function bind(
  server: Server,
  bounds: ClientBounds,
  path: string,
  socket: string,
): Promise<() => void> {
  try {
    bounds.watch(await listen(server, path))
    return () => server.unbind(`unix://${path}`)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown error'
    const message = `cannot listen on ${socket} (${reason}); is the folder writable by this user?`
    throw new BridgeError('SOCKET_FAILED', message, { cause })
  }
}

/**
 * Waits only for calls: tryShutdown also waits until every connection is closed, which a silent client could delay forever
 * (packages/grpc-js/src/server.ts).
 */
async function stop(server: Server, bounds: ClientBounds, graceMs: number): Promise<void> {
  const isClosed = new Promise<void>((resolve) => server.tryShutdown(() => resolve()))
  const isIdle = bounds.idle().then(() => sleep(CLOSE_GRACE_MS, undefined))
  await Promise.race([isClosed, isIdle, sleep(graceMs, undefined)])
  server.forceShutdown()
  bounds.end()
}
