import { randomBytes, randomUUID, timingSafeEqual } from 'node:crypto'

import { BridgeError } from '../errors.ts'
import { KeyManagementService } from '../gen/kms/v2/api_pb.ts'
import { withSocket } from '../grpc/call.ts'

/** The size of the DEK seeds that kube-apiserver encrypts. */
const SEED_BYTES = 32

/** The answer of a plugin that works. */
export interface RoundTrip {
  readonly keyId: string
  readonly milliseconds: number
}

/**
 * Calls the plugin behind a socket as kube-apiserver does: Status, Encrypt, Decrypt. Throws SOCKET_FAILED if nothing
 * answers at the socket, or if a step fails; the message then has the step and the plugin's own message.
 */
export function makeRoundTrip(socket: string): Promise<RoundTrip> {
  const { method } = KeyManagementService
  const seed = randomBytes(SEED_BYTES)
  return withSocket(socket, async (call) => {
    const start = performance.now()
    const { healthz, keyId } = await call(method.status, {})
    if (healthz !== 'ok') throw failed(`${socket}: Status is not ok: ${healthz}`)
    const uid = randomUUID()
    const sealed = await call(method.encrypt, { plaintext: seed, uid })
    const { ciphertext, annotations } = sealed
    const request = { ciphertext, annotations, keyId: sealed.keyId, uid }
    const { plaintext } = await call(method.decrypt, request)
    if (plaintext.length !== SEED_BYTES || !timingSafeEqual(plaintext, seed))
      throw failed(`${socket}: Decrypt returned something other than what was encrypted`)
    return { keyId, milliseconds: performance.now() - start }
  })
}

function failed(message: string): BridgeError {
  return new BridgeError('SOCKET_FAILED', message)
}
