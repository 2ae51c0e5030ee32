/** Where setup node-key puts the node key, which systemd-creds(1) encrypts. */
export const NODE_KEY_CREDENTIAL = '/etc/credstore.encrypted/transit-bridge-node-key'

/**
 * The first bytes of a credential that is encrypted with the key of the host alone (systemd: src/shared/creds-util.h,
 * CRED_AES256_GCM_BY_HOST).
 */
const BY_HOST_ALONE = Buffer.from('5a1c6a86df9d4096b1d5a65e0862f19a', 'hex')

/** Whether the key that decrypts a credential is on the disk of the host. `credential` is in base64, as systemd-creds writes it. */
export function isByHostAlone(credential: Buffer): boolean {
  const bytes = Buffer.from(credential.toString('latin1'), 'base64')
  return bytes.subarray(0, BY_HOST_ALONE.length).equals(BY_HOST_ALONE)
}
