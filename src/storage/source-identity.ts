import { hash } from 'node:crypto'

import { encodeCanonically } from '../seed/canonical-encoding.ts'
import type { KmsV1Value, KmsV2Value } from './stored-value.ts'

const DOMAIN = 'transit-bridge/dek-source/v1'

/** Identifies a DEK source as kube-apiserver's cache does (apiserver: pkg/storage/value/encrypt/envelope/kmsv2/cache.go). */
export function identifySource(value: KmsV1Value | KmsV2Value): string {
  const fields =
    value.kind === 'kms-v1'
      ? [value.kind, value.source]
      : [
          value.kind,
          value.isSeed ? 'seed' : 'key',
          value.source,
          value.keyId,
          ...Object.entries(value.annotations)
            .toSorted(([one], [other]) => (one < other ? -1 : 1))
            .flat(),
        ]
  return hash('sha256', encodeCanonically(DOMAIN, fields), 'base64url')
}
