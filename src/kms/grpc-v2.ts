import { KeyManagementService } from '../gen/kms/v2/api_pb.ts'
import { defineService, type GrpcService } from '../grpc/service.ts'
import type { UnaryFunnel } from '../grpc/unary.ts'
import type { KeyService } from './service.ts'

/** "v2" and "v2beta1" mean the same, but an API server accepts no change between them (KEP-3299). */
const API_VERSION = 'v2'

/** Serves KMS v2 to kube-apiserver. */
export function serveKmsV2(service: KeyService, funnel: UnaryFunnel): GrpcService {
  const { method } = KeyManagementService
  return {
    definition: defineService(KeyManagementService),
    implementation: {
      Status: funnel.serve(
        method.status,
        () => ({ version: API_VERSION, ...service.status() }),
        'unlimited',
      ),
      Encrypt: funnel.serve(method.encrypt, async (request, context) => {
        const envelope = await service.encrypt(request.plaintext, context)
        return { ...envelope, annotations: { ...envelope.annotations } }
      }),
      Decrypt: funnel.serve(method.decrypt, async (request, context) => ({
        plaintext: await service.decrypt(request, context),
      })),
    },
  }
}
