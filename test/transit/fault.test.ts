import { test } from 'tap'
import { BridgeError, type ErrorCode } from '../../src/errors.ts'
import { explainTransitFault, rethrowTransitFault } from '../../src/transit/fault.ts'

/** What Transit says, word for word (openbao 2.6.2, builtin/logical/transit and sdk/helper/keysutil). */
const WORDS: readonly (readonly [string, ErrorCode])[] = [
  ['encryption key not found', 'KEY_MISSING'],
  ['refusing to use soft-deleted key', 'KEY_MISSING'],
  ['ciphertext or signature version is disallowed by policy (too old)', 'KEY_VERSION_DISABLED'],
  [
    'requested version for encryption is less than the minimum encryption key version',
    'KEY_VERSION_DISABLED',
  ],
  ['invalid ciphertext: version is too new', 'KEY_VERSION_UNKNOWN'],
  ['requested version for encryption is higher than the latest key version', 'KEY_VERSION_UNKNOWN'],
  ['version does not exist or cannot be found', 'KEY_VERSION_UNKNOWN'],
  ['invalid ciphertext: no prefix', 'CIPHERTEXT_INVALID'],
  ['invalid ciphertext: wrong number of fields', 'CIPHERTEXT_INVALID'],
  ['invalid ciphertext: version number could not be decoded', 'CIPHERTEXT_INVALID'],
  ['invalid ciphertext: could not decode base64', 'CIPHERTEXT_INVALID'],
  ['invalid ciphertext length', 'CIPHERTEXT_INVALID'],
  ['failed to RSA decrypt the ciphertext: crypto/rsa: decryption error', 'CIPHERTEXT_INVALID'],
  ['cipher: message authentication failed', 'CIPHERTEXT_INVALID'],
  ['chacha20poly1305: message authentication failed', 'CIPHERTEXT_INVALID'],
  ['message encryption not supported for key type ed25519', 'KEY_UNSUITABLE'],
  ['message decryption not supported for key type ecdsa-p256', 'KEY_UNSUITABLE'],
  [
    "missing 'context' for key derivation; the key was created using a derived key, which means additional, per-request information must be included",
    'KEY_UNSUITABLE',
  ],
  ['requested version for encryption is negative', 'VAULT_REJECTED'],
  ['refused JSON input due to high complexity', 'VAULT_REJECTED'],
  ['words of a Vault to come', 'VAULT_REJECTED'],
]

for (const [words, code] of WORDS) {
  void test(`Transit's "${words.slice(0, 70)}" means ${code}, alone and inside the client's message`, (t) => {
    t.equal(explainTransitFault(words).code, code)
    const rejected = new BridgeError(
      'VAULT_REJECTED',
      `vault at https://vault.example.com:8200 rejects decrypt (transit/decrypt/k8s-etcd): ${words} (status 400)`,
    )
    t.throws(() => rethrowTransitFault('k8s-etcd', rejected), { code, cause: rejected })
    t.end()
  })
}

void test('a missing key or mount is KEY_MISSING and names the settings to check', (t) => {
  const notFound = new BridgeError('VAULT_NOT_FOUND', 'no handler for route "transit/keys/k"')
  t.throws(() => rethrowTransitFault('k', notFound), {
    code: 'KEY_MISSING',
    message:
      /transit key k .*no handler for route.*transit\.mount, transit\.key and vault\.namespace/,
  })
  t.end()
})

void test('other errors are thrown unchanged', (t) => {
  for (const thrown of [new BridgeError('VAULT_SEALED', 'sealed'), new TypeError('bug'), 'text']) {
    let got: unknown
    try {
      rethrowTransitFault('k', thrown)
    } catch (error) {
      got = error
    }
    t.equal(got, thrown)
  }
  t.end()
})
