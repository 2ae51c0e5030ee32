import { KeyManagementService } from '../gen/kms/v1beta1/api_pb.ts'
import { defineService, type GrpcService } from '../grpc/service.ts'
import type { UnaryFunnel } from '../grpc/unary.ts'
import type { KeyService } from './service.ts'

const API_VERSION = 'v1beta1'
const RUNTIME_NAME = 'transit-bridge'

/** Serves KMS v1 (kms.v1beta1) to clusters that still have data written through it. */
export function serveKmsV1Beta1(
  service: KeyService,
  funnel: UnaryFunnel,
  programVersion: string,
): GrpcService {
  const { method } = KeyManagementService
  return {
    definition: defineService(KeyManagementService),
    implementation: {
      Version: funnel.serve(
        method.version,
        () => ({
          version: API_VERSION,
          runtimeName: RUNTIME_NAME,
          runtimeVersion: programVersion,
        }),
        'unlimited',
      ),
      Encrypt: funnel.serve(method.encrypt, async (request, context) => ({
        cipher: await service.encryptV1(request.plain, context),
      })),
      Decrypt: funnel.serve(method.decrypt, async (request, context) => ({
        plain: await service.decryptV1(request.cipher, context),
      })),
    },
  }
}
