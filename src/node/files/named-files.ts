import type { AuthConfig, Config } from '../../config/config.ts'

/** The files that a configuration names; the program must be able to read them. */
export function namedFiles({ vault, kms }: Pick<Config, 'vault' | 'kms'>): readonly string[] {
  const { caFile, clientCertificate, auth } = vault
  const { nodeKeyFile } = kms?.localKeys ?? {}
  const files = [caFile, clientCertificate?.certFile, clientCertificate?.keyFile, nodeKeyFile]
  return [...files.filter((file) => file !== undefined), ...filesOfLogin(auth)]
}

function filesOfLogin(auth: AuthConfig): readonly string[] {
  switch (auth.method) {
    case 'jwt':
    case 'kubernetes':
    case 'token':
      return [auth.tokenFile]
    case 'approle':
      return [auth.roleIdFile, auth.secretIdFile]
    case 'cert':
      return []
  }
}
