import { KeyManagementService } from '../gen/kms/v2/api_pb.ts'
import { defineService, type GrpcService } from '../grpc/service.ts'
import type { UnaryFunnel } from '../grpc/unary.ts'
import type { Envelope } from '../seed/envelope.ts'
import type { KeyService } from './service.ts'

/**
 * "v2" and "v2beta1" mean the same, but an API server does not accept a change from one to the other (apiserver:
 * pkg/server/options/encryptionconfig/config.go, isKMSv2ProviderHealthyAndMaybeRotateDEK).
 */
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
      // No promise if the answer is in memory: a timer and more garbage would cost time (docs/design.md, "Local keys").
      Encrypt: funnel.serve(method.encrypt, ({ plaintext }, context) => {
        const envelope = service.encryptNow(plaintext, context)
        if (envelope !== undefined) return toFields(envelope)
        return service.encrypt(plaintext, context).then(toFields)
      }),
      Decrypt: funnel.serve(method.decrypt, (request, context) => {
        const plaintext = service.decryptNow(request)
        if (plaintext !== undefined) return { plaintext }
        return service.decrypt(request, context).then((asked) => ({ plaintext: asked }))
      }),
    },
  }
}

function toFields({ ciphertext, keyId, annotations }: Envelope) {
  return { ciphertext, keyId, annotations: { ...annotations } }
}
