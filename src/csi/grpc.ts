import { CSIDriverProvider, MountRequestSchema } from '../gen/csi/v1alpha1/service_pb.ts'
import { defineService, type GrpcService } from '../grpc/service.ts'
import type { UnaryFunnel } from '../grpc/unary.ts'
import type { MountService } from './mount-service.ts'
import { fileOf, objectVersionOf } from './mount-answer.ts'

const API_VERSION = 'v1alpha1'
const RUNTIME_NAME = 'transit-bridge'

/** Implements the Secrets Store CSI driver's provider API (v1alpha1) with the mount service. */
export function serveCsiProvider(
  service: MountService,
  funnel: UnaryFunnel,
  runtimeVersion: string,
): GrpcService {
  const { method } = CSIDriverProvider
  return {
    definition: defineService(CSIDriverProvider),
    implementation: {
      Version: funnel.serve(method.version, () => ({
        version: API_VERSION,
        runtimeName: RUNTIME_NAME,
        runtimeVersion,
      })),
      Mount: funnel.serve(
        method.mount,
        async (request, context) => {
          const files = await service.mount(request, context)
          return { objectVersion: files.map(objectVersionOf), files: files.map(fileOf) }
        },
        'limited',
        {
          // A driver that rotates sends one for each file, and a volume may have thousands.
          ignored: MountRequestSchema.field.currentObjectVersion,
          onUnsent: (request, error) => service.countUnsent(request, error),
        },
      ),
    },
  }
}
