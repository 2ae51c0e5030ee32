import { BridgeError } from '../errors.ts'
import { hasPlaintextLength } from '../transit/ciphertext.ts'
import type { DecryptInput, DecryptResult, EncryptInput } from '../transit/transit.ts'

/**
 * Returns a ciphertext if its length matches that of its plaintext. kube-apiserver would store any other one, too, and could
 * never read the data again.
 */
export function requireCiphertextLength(input: EncryptInput, ciphertext: string): string {
  if (hasPlaintextLength(ciphertext, input.plaintext.length)) return ciphertext
  throw new BridgeError(
    'VAULT_ANSWER_INVALID',
    'Vault returned a ciphertext whose length does not match its plaintext; check any proxy in front of Vault',
  )
}

/**
 * Replaces a plaintext whose length does not match its ciphertext with an error: the response was changed, or belongs to
 * another request. The error makes the key watch run a proof.
 */
export function refuseWrongLengths(
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
