import { BridgeError } from '../errors.ts'
import type { OpenedEnvelope } from '../seed/envelope.ts'
import { identifyLocalKey } from '../seed/local-seal.ts'
import { identifySource } from '../storage/source-identity.ts'
import type { KmsV1Value, KmsV2Value, StoredValue } from '../storage/stored-value.ts'
import { openSource } from '../storage/wrapped-source.ts'
import { explainLocalProvider, type Finding } from '../verify/proof.ts'
import type { EntryKind } from './manifest.ts'

/** The key that an object needs to be read without Vault. */
export interface Need {
  readonly kind: EntryKind
  readonly id: string
  readonly value: KmsV1Value | KmsV2Value
  readonly envelope: OpenedEnvelope
}

/** What an object needs; undefined if it is not encrypted, and why no escrow can cover it. */
export function findNeed(
  stored: StoredValue,
  acceptVaultKubernetesKms: boolean,
): Need | Finding | undefined {
  switch (stored.kind) {
    case 'plain':
      return undefined
    case 'damaged':
      return { kind: 'unreadable', why: stored.why }
    case 'local':
      return explainLocalProvider(stored)
    case 'kms-v1':
    case 'kms-v2':
      return findKmsNeed(stored, acceptVaultKubernetesKms)
  }
}

function findKmsNeed(value: KmsV1Value | KmsV2Value, accept: boolean): Need | Finding {
  try {
    const envelope = openSource(value, accept)
    if (envelope === undefined)
      return {
        kind: 'unproven',
        why: 'another plugin wrote it, and only that plugin can decrypt it',
      }
    return envelope.sealed === undefined
      ? { kind: 'seed', id: identifySource(value), value, envelope }
      : { kind: 'local-key', id: identifyLocalKey(envelope), value, envelope }
  } catch (thrown) {
    const error = BridgeError.from(thrown)
    if (error.code === 'INTERNAL') throw error
    return { kind: 'unreadable', why: `its DEK seed: ${error.message}`, code: error.code }
  }
}

export function isNeed(found: Need | Finding | undefined): found is Need {
  return found !== undefined && 'envelope' in found
}
