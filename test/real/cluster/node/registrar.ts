// usage: registrar.ts SOCKET NAME ENDPOINT    what node-driver-registrar does: registers a CSI driver with the kubelet, in the
// form of k8s.io/kubelet/pkg/apis/pluginregistration/v1
import { rmSync } from 'node:fs'
import { Server, ServerCredentials, type handleUnaryCall } from '@grpc/grpc-js'

const [socket = '', name = '', endpoint = ''] = process.argv.slice(2)
const VERSION = '1.0.0'

/** PluginInfo: type, name, endpoint, supported_versions, each a short text. */
function pluginInfo(): Buffer {
  const fields = ['CSIPlugin', name, endpoint, VERSION].map((text, index) => {
    const bytes = Buffer.from(text)
    return Buffer.concat([Buffer.from([((index + 1) << 3) | 2, bytes.length]), bytes])
  })
  return Buffer.concat(fields)
}

function method(path: string) {
  const same = (bytes: Buffer) => bytes
  return {
    path: `/pluginregistration.Registration/${path}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  }
}

const getInfo: handleUnaryCall<Buffer, Buffer> = (_call, answer) => answer(null, pluginInfo())
const notify: handleUnaryCall<Buffer, Buffer> = ({ request }, answer) => {
  process.stdout.write(`kubelet: ${request.toString('latin1')}\n`)
  answer(null, Buffer.alloc(0))
}

rmSync(socket, { force: true })
const server = new Server()
server.addService(
  { GetInfo: method('GetInfo'), NotifyRegistrationStatus: method('NotifyRegistrationStatus') },
  { GetInfo: getInfo, NotifyRegistrationStatus: notify },
)
server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error
})
