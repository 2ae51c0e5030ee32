/** Transit's text form of a ciphertext: `vault:v<version>:<base64>`. */
const CIPHERTEXT = /^vault:v([1-9][0-9]{0,8}):[A-Za-z0-9+/]+={0,2}$/

/** The key version that a Transit ciphertext names; undefined for any other text. */
export function readCiphertextVersion(ciphertext: string): number | undefined {
  const version = CIPHERTEXT.exec(ciphertext)?.[1]
  return version === undefined ? undefined : Number(version)
}

/**
 * Whether a plaintext has the length of what an AEAD key encrypted. The ciphertext also has a nonce of 12 bytes (24 for
 * xchacha20-poly1305) and a tag of 16 (OpenBao: sdk/helper/keysutil/policy.go, SymmetricEncryptRaw).
 */
export function hasPlaintextLength(ciphertext: string, plaintextBytes: number): boolean {
  const encoded = ciphertext.slice(ciphertext.lastIndexOf(':') + 1)
  const overhead = Buffer.byteLength(encoded, 'base64') - plaintextBytes
  return overhead === 28 || overhead === 40
}
