import { BridgeError, type ErrorCode } from '../errors.ts'

/** In an error response: the request names a version that this node does not have. */
const NEWER = /version is too new|higher than the latest key version|version does not exist/i

/**
 * What Transit's error texts mean. Vault distinguishes these cases only by their text. This table is the only place that reads
 * such texts. They are in builtin/logical/transit and sdk/helper/keysutil/policy.go of OpenBao and Vault.
 */
const MEANINGS: readonly (readonly [RegExp, ErrorCode, advice?: string])[] = [
  [/encryption key not found|key not found|soft-deleted/i, 'KEY_MISSING'],
  [
    /disallowed by policy \(too old\)/i,
    'KEY_VERSION_DISABLED',
    'min_decryption_version of the key is above the version of the data; lower it to read the data',
  ],
  [/less than the minimum encryption key version/i, 'KEY_VERSION_DISABLED'],
  [NEWER, 'KEY_VERSION_UNKNOWN'],
  [/message authentication failed|failed to RSA decrypt/i, 'CIPHERTEXT_INVALID'],
  [/invalid ciphertext|could not decode base64/i, 'CIPHERTEXT_INVALID'],
  [/not exportable/i, 'KEY_UNSUITABLE'],
  [/invalid key version/i, 'KEY_MISSING'],
  [/not supported for key type|missing 'context' for key derivation/i, 'KEY_UNSUITABLE'],
  [/associated_data|associated data/i, 'KEY_UNSUITABLE'],
]

/** The error that Transit's own text stands for; VAULT_REJECTED for an unknown text. */
export function explainTransitFault(words: string, cause?: unknown): BridgeError {
  const meaning = MEANINGS.find(([pattern]) => pattern.test(words))
  const [, code = 'VAULT_REJECTED', advice] = meaning ?? []
  return new BridgeError(code, advice === undefined ? words : `${words}; ${advice}`, { cause })
}

/** Whether a response to an encrypt, a decrypt or an export is from a node that does not have the newest version yet. */
export function lacksVersion({ status, text }: { status: number; text: string }): boolean {
  return status >= 400 && NEWER.test(text)
}

/** Throws the meaning of a rejected Transit request; anything else is thrown unchanged. */
export function rethrowTransitFault(key: string, thrown: unknown): never {
  if (!(thrown instanceof BridgeError)) throw thrown
  if (thrown.code === 'VAULT_REJECTED') throw explainTransitFault(thrown.message, thrown)
  if (thrown.code === 'VAULT_NOT_FOUND') {
    throw new BridgeError(
      'KEY_MISSING',
      `Vault has no transit key ${key} at this path (${thrown.message}); check transit.mount, transit.key and vault.namespace`,
      { cause: thrown },
    )
  }
  throw thrown
}
