import type { DescService } from '@bufbuild/protobuf'
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js'

import type { SentMessage } from './sent-message.ts'

/** A service with a handler for each method, ready for grpc-js. */
export interface GrpcService {
  readonly definition: ServiceDefinition
  readonly implementation: UntypedServiceImplementation
}

/**
 * Describes a generated service to grpc-js. Messages pass through grpc-js as bytes. unary.ts decodes and encodes them, so that a
 * malformed request is answered, logged and counted like any other fault.
 */
export function defineService(service: DescService): ServiceDefinition {
  const passBytes = (bytes: Buffer) => bytes
  return Object.fromEntries(
    service.methods.map((method) => [
      method.name,
      {
        path: `/${service.typeName}/${method.name}`,
        requestStream: false,
        responseStream: false,
        requestSerialize: passBytes,
        requestDeserialize: passBytes,
        // grpc-js only copies it.
        responseSerialize: (message: SentMessage) => message as Buffer,
        responseDeserialize: passBytes,
      },
    ]),
  )
}
