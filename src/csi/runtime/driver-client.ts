import { Identity } from '../../gen/csi/v1/csi_pb.ts'
import { Registration } from '../../gen/kubelet/pluginregistration/registration_pb.ts'
import { withSocket } from '../../grpc/call.ts'
import { REGISTRATION } from './grpc.ts'

/** What a driver says about itself. */
export interface DriverView {
  readonly name: string
  readonly version: string
  /** A RegistrationState; undefined if it is another program. */
  readonly registration: string | undefined
}

/** Asks the driver behind csi.runtime.socket. Throws SOCKET_FAILED. */
export async function viewDriver(socket: string): Promise<DriverView> {
  const info = await withSocket(socket, (call) => call(Identity.method.getPluginInfo, {}))
  return {
    name: info.name,
    version: info.vendorVersion,
    registration: info.manifest[REGISTRATION],
  }
}

/** Asks csi.runtime.registrationSocket, as the kubelet does, which socket the kubelet must call. Throws SOCKET_FAILED. */
export async function findRegisteredSocket(registrationSocket: string): Promise<string> {
  const info = await withSocket(registrationSocket, (call) => call(Registration.method.getInfo, {}))
  return info.endpoint
}
