import { BridgeError } from '../errors.ts'
import { hasPlaintextLength } from '../transit/ciphertext.ts'
import type {
  DecryptInput,
  DecryptResult,
  EncryptInput,
  EncryptResult,
} from '../transit/transit.ts'

/**
 * Replaces a ciphertext whose length does not match its plaintext with an error. kube-apiserver would store it,
 * and could never read the data again.
 */
export function refuseWrongCiphertexts(
  inputs: readonly EncryptInput[],
  results: readonly EncryptResult[],
): EncryptResult[] {
  return results.map((result, index) => {
    const bytes = inputs[index]?.plaintext.length ?? -1
    if (result instanceof BridgeError || hasPlaintextLength(result, bytes)) return result
    return new BridgeError(
      'VAULT_ANSWER_INVALID',
      'Vault returned a ciphertext whose length does not match its plaintext; check any proxy in front of Vault',
    )
  })
}

/**
 * Replaces a plaintext whose length does not match its ciphertext with an error: the response was changed, or belongs to
 * another request. The error makes the key watch run a proof.
 */
export function refuseWrongPlaintexts(
  inputs: readonly DecryptInput[],
  results: readonly DecryptResult[],
): DecryptResult[] {
  return results.map((result, index) => {
    const ciphertext = inputs[index]?.ciphertext ?? ''
    if (!Buffer.isBuffer(result) || hasPlaintextLength(ciphertext, result.length)) return result
    result.fill(0)
    return new BridgeError(
      'VAULT_ANSWER_INVALID',
      'Vault returned a plaintext whose length does not match its ciphertext; check any proxy in front of Vault',
    )
  })
}
