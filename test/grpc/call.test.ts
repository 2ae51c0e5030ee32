import { join } from 'node:path'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { test } from 'tap'

import { Identity } from '../../src/gen/csi/v1/csi_pb.ts'
import { withSocket } from '../../src/grpc/call.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

/** Not a real program: none sends a malformed response. */
async function serve(socket: string, response: Buffer): Promise<Server> {
  const { name, parent } = Identity.method.getPluginInfo
  const pass = (bytes: Buffer) => bytes
  const server = new Server()
  server.addService(
    {
      [name]: {
        path: `/${parent.typeName}/${name}`,
        requestStream: false,
        responseStream: false,
        requestSerialize: pass,
        requestDeserialize: pass,
        responseSerialize: pass,
        responseDeserialize: pass,
      },
    },
    {
      [name]: (_call: unknown, callback: (error: null, value: Buffer) => void) =>
        callback(null, response),
    },
  )
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    )
  })
  return server
}

void test('a malformed response is reported as a fault of the socket', async (t) => {
  const socket = join(tempFolder('call'), 's')
  const server = await serve(socket, Buffer.from([0x0a, 0x7f]))
  t.teardown(() => server.forceShutdown())
  await t.rejects(
    withSocket(socket, (call) => call(Identity.method.getPluginInfo, {})),
    { code: 'SOCKET_FAILED', message: /GetPluginInfo failed with INTERNAL/ },
  )
})
