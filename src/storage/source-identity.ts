import { hash } from 'node:crypto'

import { encodeCanonically } from '../seed/canonical-encoding.ts'
import type { KmsV1Value, KmsV2Value } from './stored-value.ts'

const DOMAIN = 'transit-bridge/dek-source/v1'

/** One text for all that kube-apiserver tells DEK sources apart by (kmsv2/cache.go, generateKey). */
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
