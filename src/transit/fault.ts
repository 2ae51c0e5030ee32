import { BridgeError, type ErrorCode } from '../errors.ts'

/**
 * What Transit's words mean. Vault tells these cases apart by text alone; the texts are those of
 * OpenBao's and Vault's builtin/logical/transit and sdk/helper/keysutil/policy.go.
 */
const MEANINGS: readonly (readonly [RegExp, ErrorCode, advice?: string])[] = [
  [/encryption key not found|key not found|soft-deleted/i, 'KEY_MISSING'],
  [
    /disallowed by policy \(too old\)/i,
    'KEY_VERSION_DISABLED',
    'min_decryption_version of the key is above the version of the data; lower it to read the data',
  ],
  [/less than the minimum encryption key version/i, 'KEY_VERSION_DISABLED'],
  [/version is too new/i, 'KEY_VERSION_UNKNOWN'],
  [/higher than the latest key version/i, 'KEY_VERSION_UNKNOWN'],
  [/message authentication failed/i, 'CIPHERTEXT_INVALID'],
  [/invalid ciphertext|could not decode base64/i, 'CIPHERTEXT_INVALID'],
  [/not exportable/i, 'KEY_UNSUITABLE'],
  [/version does not exist|invalid key version/i, 'KEY_MISSING'],
  [/not supported for key type|missing 'context' for key derivation/i, 'KEY_UNSUITABLE'],
  [/associated_data|associated data/i, 'KEY_UNSUITABLE'],
]

/** The error that Transit's own words stand for; VAULT_REJECTED where they are not known. */
export function explainTransitFault(words: string, cause?: unknown): BridgeError {
  const meaning = MEANINGS.find(([pattern]) => pattern.test(words))
  const [, code = 'VAULT_REJECTED', advice] = meaning ?? []
  return new BridgeError(code, advice === undefined ? words : `${words}; ${advice}`, { cause })
}

/** Makes a rejected Transit request say what it means; anything else is thrown as it came. */
export function rethrowTransitFault(key: string, thrown: unknown): never {
  if (!(thrown instanceof BridgeError)) throw thrown
  if (thrown.code === 'VAULT_REJECTED') throw explainTransitFault(thrown.message, thrown)
  if (thrown.code === 'VAULT_NOT_FOUND') {
    throw new BridgeError(
      'KEY_MISSING',
      `vault has no transit key ${key} there (${thrown.message}); check transit.mount, transit.key and vault.namespace`,
      { cause: thrown },
    )
  }
  throw thrown
}
