import { join } from 'node:path'
import { KeyManagementService as V2 } from '../../src/gen/kms/v2/api_pb.ts'
import type { DecryptRequest, EncryptRequest } from '../../src/gen/kms/v2/api_pb.ts'
import type { CallContext } from '../../src/call-context.ts'
import { systemClock } from '../../src/time/clock.ts'
import type { ClientLimits } from '../../src/grpc/client-bounds.ts'
import { startGrpcServer, type GrpcServer } from '../../src/grpc/server.ts'
import { defineService } from '../../src/grpc/service.ts'
import { UnaryFunnel } from '../../src/grpc/unary.ts'
import { UnreadResponses } from '../../src/grpc/unread-responses.ts'
import { memoryLog } from '../fakes/log.ts'
import { KmsClient } from '../real/program/kms-client.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

export interface Handlers {
  readonly encrypt?: (request: EncryptRequest, context: CallContext) => Promise<Uint8Array>
  readonly decrypt?: (request: DecryptRequest, context: CallContext) => Promise<Uint8Array>
}

/** A real server on a temporary socket with handlers of the test, and a real client of it. */
export async function grpcFixture(
  handlers: Handlers = {},
  options: {
    maxInFlight?: number
    maxRequestBytes?: number
    maxUnreadBytes?: number
    level?: string
    limits?: Partial<ClientLimits>
  } = {},
) {
  const { log, lines } = memoryLog()
  log.level = options.level ?? 'trace'
  const calls: [method: string, code: string, seconds: number][] = []
  const maxBytes = options.maxUnreadBytes ?? 16 * 1024 * 1024
  const unread = new UnreadResponses({ maxBytes, clock: systemClock, log })
  const funnel = new UnaryFunnel({
    clock: systemClock,
    log,
    onCall: (...call) => void calls.push(call),
    maxInFlight: options.maxInFlight ?? 100,
    maxRequestBytes: options.maxRequestBytes,
    unread,
  })
  const { method } = V2
  const { encrypt = ({ plaintext }) => Promise.resolve(Buffer.from(plaintext)) } = handlers
  const { decrypt = ({ ciphertext }) => Promise.resolve(Buffer.from(ciphertext)) } = handlers
  const service = {
    definition: defineService(V2),
    implementation: {
      Status: funnel.serve(
        method.status,
        () => ({ version: 'v2', healthz: 'ok', keyId: 'k' }),
        'unlimited',
      ),
      Encrypt: funnel.serve(method.encrypt, async (request, context) => ({
        ciphertext: await encrypt(request, context),
        keyId: 'k',
        annotations: {},
      })),
      Decrypt: funnel.serve(method.decrypt, async (request, context) => ({
        plaintext: await decrypt(request, context),
      })),
    },
  }
  const socket = join(tempFolder('grpc'), 'kms.sock')
  const server: GrpcServer = await startGrpcServer({
    socket,
    access: { mode: 0o600 },
    services: [service],
    clock: systemClock,
    log,
    limits: options.limits,
  })
  const client = new KmsClient(socket)
  return {
    socket,
    unread,
    service,
    server,
    client,
    lines,
    calls,
    funnel,
    stop: async () => {
      client.close()
      await server.stop(100)
    },
  }
}

/** A promise that the test settles. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: () => resolve() }
}
