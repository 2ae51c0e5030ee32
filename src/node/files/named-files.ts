import type { AuthConfig, Config } from '../../config/config.ts'

/** The files that a configuration names; the program must be able to read them. */
export function namedFiles({ vault }: Pick<Config, 'vault'>): readonly string[] {
  return [...(vault.caFile === undefined ? [] : [vault.caFile]), ...filesOfLogin(vault.auth)]
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
      return [auth.certFile, auth.keyFile]
  }
}
