import { BridgeError } from '../../errors.ts'
import type { TransitKey } from '../../transit/key.ts'
import { isAsymmetric } from '../../transit/private-key.ts'
import type { WantedVersion } from '../class/object-types.ts'
import { findVersions } from './wanted-versions.ts'

/**
 * Returns the certificate chains of a key by version, in PEM, oldest first. With `all`, versions without a certificate
 * are omitted. Throws OBJECT_MISSING if there is none, OBJECT_UNSUITABLE for a symmetric key.
 */
export function findCertificates(
  key: TransitKey,
  wanted: WantedVersion,
): readonly (readonly [number, Buffer])[] {
  if (!isAsymmetric(key.type)) {
    throw new BridgeError(
      'OBJECT_UNSUITABLE',
      `transit key ${key.name} has type ${key.type}, which has no certificate`,
    )
  }
  const versions = findVersions(key, wanted)
  const found = versions.flatMap((version) => {
    const chain = key.versions.get(version)?.certificateChain
    return chain === undefined ? [] : [[version, encodePem(chain)] as const]
  })
  if (found.length > 0) return found
  const holder = wanted === 'all' ? 'any version' : `version ${String(versions[0])}`
  throw new BridgeError(
    'OBJECT_MISSING',
    `Vault has no certificate for ${holder} of transit key ${key.name}; store one with a write to keys/${key.name}/set-certificate, or write optional: true`,
  )
}

/** Vault keeps the text as it was stored, with or without a line end. */
function encodePem(chain: string): Buffer {
  return Buffer.from(`${chain.trim()}\n`)
}
