import { readCredentialFile } from '../files/credential-file.ts'
import { decodeServiceAccountToken, type ServiceAccountToken } from './service-account-token.ts'

/**
 * Reads the service-account token in a file, which the kubelet or the installer exchanges from time to
 * time: call it anew for each login. Throws IDENTITY_MISSING or IDENTITY_INVALID in words.
 */
export async function readServiceAccountToken(
  file: string,
  setting = 'vault.auth.tokenFile',
): Promise<ServiceAccountToken> {
  const jwt = await readCredentialFile({
    path: file,
    setting,
    whenMissing:
      'the kubelet (projected volume) or the installer writes it, and it is looked for again before each login',
  })
  return decodeServiceAccountToken(jwt, `${setting}: ${file}`)
}
