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
import { pingSocket } from './liveness.ts'

/** An idle server answers a ping in milliseconds. */
const PING_TIMEOUT_MS = 2_000
/** kube-apiserver's default timeout for a call (apiserver: pkg/apis/apiserver/v1/defaults.go). */
const CALL_TIMEOUT_MS = 3_000

/** Calls a method of the server; throws SOCKET_FAILED with the server's own message. */
export type Call = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
) => Promise<MessageShape<O>>

/** Runs `work` with a client of the server behind a unix socket. Throws SOCKET_FAILED if nothing answers there. */
export async function withSocket<T>(socket: string, work: (call: Call) => Promise<T>): Promise<T> {
  await pingSocket(socket, PING_TIMEOUT_MS)
  const client = new Client(`unix://${socket}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
  })
  try {
    return await work((method, request) => callOnce(client, method, request))
  } finally {
    client.close()
  }
}

function callOnce<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
): Promise<MessageShape<O>> {
  const bytes = Buffer.from(toBinary(method.input, create(method.input, request)))
  const path = `/${method.parent.typeName}/${method.name}`
  const serialize = (buffer: Buffer) => buffer
  // grpc-js catches what this throws; in the callback, it would be an uncaught error.
  const deserialize = (buffer: Buffer) => fromBinary(method.output, buffer)
  const deadline = Date.now() + CALL_TIMEOUT_MS
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, serialize, deserialize, bytes, { deadline }, (error, answer) => {
      if (error === null) resolve(answer ?? create(method.output))
      else reject(failed(`${method.name} failed with ${status[error.code]}: ${error.details}`))
    })
  })
}

function failed(message: string): BridgeError {
  return new BridgeError('SOCKET_FAILED', message)
}
