import { createPublicKey, type KeyObject } from 'node:crypto'
import { BridgeError } from '../errors.ts'
import type { TransitKey } from './key.ts'
import { isAsymmetric } from './private-key.ts'

/** DER of SubjectPublicKeyInfo for Ed25519 up to its 32 bytes (RFC 8410 §4): Transit returns only those bytes. */
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex')

/**
 * The public key of one version. KEY_UNSUITABLE for a symmetric key; the version must be one that Vault lists.
 */
export function readPublicKey(key: TransitKey, version: number): KeyObject {
  const text = key.versions.get(version)?.publicKey
  if (text === undefined || text === '') {
    const isDerived = key.derived && key.type === 'ed25519'
    const reason = isDerived
      ? 'is derived: it has another public key for each context; specify the context'
      : `has type ${key.type}, which has no public key`
    throw unsuitable(key, reason)
  }
  try {
    return key.type === 'ed25519' ? readEd25519(text) : createPublicKey(text)
  } catch (cause) {
    if (!isAsymmetric(key.type))
      throw unsuitable(key, `has type ${key.type}, whose public keys are not supported`)
    throw new BridgeError(
      'VAULT_ANSWER_INVALID',
      `Vault returned no usable public key for version ${String(version)} of transit key ${key.name} (type ${key.type})`,
      { cause },
    )
  }
}

function unsuitable({ name }: TransitKey, reason: string): BridgeError {
  return new BridgeError('KEY_UNSUITABLE', `transit key ${name} ${reason}`)
}

function readEd25519(text: string): KeyObject {
  const der = Buffer.concat([ED25519_SPKI, Buffer.from(text, 'base64')])
  return createPublicKey({ key: der, format: 'der', type: 'spki' })
}
