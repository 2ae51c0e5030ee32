import { Identity, Node } from '../../gen/csi/v1/csi_pb.ts'
import { Registration } from '../../gen/kubelet/pluginregistration/registration_pb.ts'
import { defineService, type GrpcService } from '../../grpc/service.ts'
import type { UnaryFunnel } from '../../grpc/unary.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import type { NodeService } from './node-service.ts'

/** Versions of CSI that the kubelet accepts: all of 1.x are compatible (pkg/volume/csi/csi_plugin.go, validateVersions). */
const CSI_VERSIONS = ['1.0.0']
/** No limit: the kubelet counts only persistent volumes. */
const NO_LIMIT = 0n

/** The entry of GetPluginInfo's manifest with a {@link RegistrationState}. doctor reads it. */
export const REGISTRATION = 'registration'

/** Whether the kubelet registered the driver since it started. */
export type RegistrationState = 'waiting' | 'registered' | 'refused'

export interface DriverFacts {
  readonly driverName: string
  readonly programVersion: string
  readonly nodeName: string
  readonly registration: () => RegistrationState
}

/** Implements CSI's Identity and Node services. */
export function serveCsiDriver(
  service: NodeService,
  funnel: UnaryFunnel,
  { driverName, programVersion, nodeName, registration }: DriverFacts,
): readonly GrpcService[] {
  const identity = Identity.method
  const node = Node.method
  return [
    {
      definition: defineService(Identity),
      implementation: {
        GetPluginInfo: funnel.serve(identity.getPluginInfo, () => ({
          name: driverName,
          vendorVersion: programVersion,
          manifest: { [REGISTRATION]: registration() },
        })),
        GetPluginCapabilities: funnel.serve(identity.getPluginCapabilities, () => ({
          capabilities: [],
        })),
        Probe: funnel.serve(identity.probe, () => ({ ready: true })),
      },
    },
    {
      definition: defineService(Node),
      implementation: {
        NodePublishVolume: funnel.serve(node.nodePublishVolume, async (request) => {
          await service.publish(request)
          return {}
        }),
        NodeUnpublishVolume: funnel.serve(node.nodeUnpublishVolume, async (request) => {
          await service.unpublish(request)
          return {}
        }),
        NodeGetCapabilities: funnel.serve(node.nodeGetCapabilities, () => ({ capabilities: [] })),
        NodeGetInfo: funnel.serve(node.nodeGetInfo, () => ({
          nodeId: nodeName,
          maxVolumesPerNode: NO_LIMIT,
        })),
      },
    },
  ]
}

export interface RegistrationOptions {
  readonly driverName: string
  readonly socket: string
  readonly log: Logger
  readonly onState: (state: RegistrationState) => void
}

/** Implements the kubelet's registration of plugins: it connects to each socket in plugins_registry and asks. */
export function serveRegistration(
  funnel: UnaryFunnel,
  { driverName, socket, log, onState }: RegistrationOptions,
): GrpcService {
  const { method } = Registration
  return {
    definition: defineService(Registration),
    implementation: {
      GetInfo: funnel.serve(method.getInfo, () => ({
        type: 'CSIPlugin',
        name: driverName,
        endpoint: socket,
        supportedVersions: CSI_VERSIONS,
      })),
      NotifyRegistrationStatus: funnel.serve(
        method.notifyRegistrationStatus,
        ({ pluginRegistered, error }) => {
          onState(pluginRegistered ? 'registered' : 'refused')
          const line = { [logKey.socket]: socket }
          if (pluginRegistered) log.info(line, `the kubelet registered CSI driver ${driverName}`)
          else log.error(line, `the kubelet did not register CSI driver ${driverName}: ${error}`)
          return {}
        },
      ),
    },
  }
}
