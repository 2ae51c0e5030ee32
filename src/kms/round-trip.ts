import { randomBytes, randomUUID, timingSafeEqual } from 'node:crypto'
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf'
import { Client, credentials, status } from '@grpc/grpc-js'

import { BridgeError } from '../errors.ts'
import { pingSocket } from '../grpc/liveness.ts'
import { KeyManagementService } from '../gen/kms/v2/api_pb.ts'

/** The default timeout of a call of kube-apiserver (apis/apiserver/v1/defaults.go). */
const TIMEOUT_MS = 3_000
/** An idle plugin answers a ping in milliseconds. */
const PING_TIMEOUT_MS = 2_000
/** The size of the DEK seeds that kube-apiserver encrypts. */
const SEED_BYTES = 32

/** The answer of a plugin that works. */
export interface RoundTrip {
  readonly keyId: string
  readonly milliseconds: number
}

/**
 * Calls the plugin behind a socket as kube-apiserver does: Status, Encrypt, Decrypt. Throws SOCKET_FAILED: nothing
 * answers at the socket, or the step that failed with the plugin's own message.
 */
export async function makeRoundTrip(socket: string): Promise<RoundTrip> {
  await pingSocket(socket, PING_TIMEOUT_MS)
  const client = new Client(`unix://${socket}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
  })
  const { method } = KeyManagementService
  const seed = randomBytes(SEED_BYTES)
  const start = performance.now()
  try {
    const { healthz, keyId } = await call(client, method.status, {})
    if (healthz !== 'ok') throw failed(`${socket}: Status is not ok: ${healthz}`)
    const uid = randomUUID()
    const sealed = await call(client, method.encrypt, { plaintext: seed, uid })
    const { ciphertext, annotations } = sealed
    const request = { ciphertext, annotations, keyId: sealed.keyId, uid }
    const { plaintext } = await call(client, method.decrypt, request)
    if (plaintext.length !== SEED_BYTES || !timingSafeEqual(plaintext, seed))
      throw failed(`${socket}: Decrypt returned something other than what was encrypted`)
    return { keyId, milliseconds: performance.now() - start }
  } finally {
    client.close()
  }
}

function call<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
): Promise<MessageShape<O>> {
  const bytes = Buffer.from(toBinary(method.input, create(method.input, request)))
  const path = `/${method.parent.typeName}/${method.name}`
  const pass = (buffer: Buffer) => buffer
  const deadline = Date.now() + TIMEOUT_MS
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, pass, pass, bytes, { deadline }, (error, answer) => {
      if (error === null) resolve(fromBinary(method.output, answer ?? Buffer.alloc(0)))
      else reject(failed(`${method.name} failed with ${status[error.code]}: ${error.details}`))
    })
  })
}

function failed(message: string): BridgeError {
  return new BridgeError('SOCKET_FAILED', message)
}
