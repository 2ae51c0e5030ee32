/** Where setup node-key puts the node key, which systemd-creds(1) encrypts. */
export const NODE_KEY_CREDENTIAL = '/etc/credstore.encrypted/transit-bridge-node-key'

/** The name of the unit that setup node-key writes, without `.service`. */
export const NODE_KEY_UNIT = 'transit-bridge-node-key'
/** Where the plugin finds the node key: kms.localKeys.nodeKeyFile. /run is in memory. */
export const NODE_KEY_FILE = `/run/${NODE_KEY_UNIT}/key`

/** What decrypts a credential: a key on the disk of the host alone, a TPM 2 (with or without that key), or no key at all. */
export type CredentialKey = 'host' | 'tpm2' | 'none'

/** The first 16 bytes of a credential (systemd: src/shared/creds-util.h, CRED_AES256_GCM_BY_HOST and others). */
const KEYS: ReadonlyMap<string, CredentialKey> = new Map([
  ['5a1c6a86df9d4096b1d5a65e0862f19a', 'host'],
  ['0c7cc07b117645919c4b0bea08bc20fe', 'tpm2'],
  ['faf7eb9341e3412ca1a436f95a29362f', 'tpm2'],
  ['93a894094874449090caf2fc93cab553', 'tpm2'],
  ['af4950a849134eb1a73846304ff30c05', 'tpm2'],
  ['058469daf6f54324800549da0f8ea2fb', 'none'],
])

/** What decrypts a credential in base64, as systemd-creds writes it; undefined if that is not known. */
export function findCredentialKey(credential: Buffer): CredentialKey | undefined {
  return KEYS.get(Buffer.from(credential.toString('latin1'), 'base64').toString('hex', 0, 16))
}
