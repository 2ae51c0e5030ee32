/** Transit's text form of a ciphertext: `vault:v<version>:<base64>`. */
const CIPHERTEXT = /^vault:v([1-9][0-9]{0,8}):[A-Za-z0-9+/]+={0,2}$/

/** The key version that a Transit ciphertext names; undefined for any other text. */
export function readCiphertextVersion(ciphertext: string): number | undefined {
  const version = CIPHERTEXT.exec(ciphertext)?.[1]
  return version === undefined ? undefined : Number(version)
}
