import { readCredentialFile } from '../files/credential-file.ts'
import { decodeServiceAccountToken, type ServiceAccountToken } from './service-account-token.ts'

/**
 * Reads the JWT in a file, which another program (the kubelet, the installer, a SPIFFE helper) replaces from time to
 * time: call it again for each login. Throws IDENTITY_MISSING, IDENTITY_INVALID for what is not a JWT, or HOST_UNAVAILABLE.
 */
export async function readServiceAccountToken(
  file: string,
  setting = 'vault.auth.tokenFile',
  whenMissing = 'the kubelet (projected volume) or the installer writes it, and it is read again before each login',
): Promise<ServiceAccountToken> {
  const jwt = await readCredentialFile({
    path: file,
    setting,
    whenMissing,
  })
  return decodeServiceAccountToken(jwt, `${setting}: ${file}`)
}
