import type { VaultRequester } from '../client/request.ts'
import { readCredentialFile } from '../../files/credential-file.ts'
import { requestLogin } from './login-request.ts'
import type { Login } from './login.ts'
import type { KnownRefusal } from './refusal.ts'

export interface AppRoleLoginOptions {
  readonly client: VaultRequester
  readonly mount: string
  readonly roleIdFile: string
  /** Absent for a role that has bind_secret_id=false. */
  readonly secretIdFile?: string
}

/** Method approle: both ids come from files that are read anew for each login, so that they can be rotated. */
export function appRoleLogin(options: AppRoleLoginOptions): Login {
  const { client, mount } = options
  const facts = { method: 'approle', mount, known: knownRefusals(mount) }
  return {
    method: 'approle',
    async login(context) {
      return requestLogin(client, facts, await readIds(options), context)
    },
  }
}

async function readIds(options: AppRoleLoginOptions): Promise<object> {
  const roleId = await readCredentialFile({
    path: options.roleIdFile,
    setting: 'vault.auth.roleIdFile',
    whenMissing: 'write the role id there (auth/<mount>/role/<role>/role-id in vault)',
  })
  if (options.secretIdFile === undefined) return { role_id: roleId }
  const secretId = await readCredentialFile({
    path: options.secretIdFile,
    setting: 'vault.auth.secretIdFile',
    whenMissing: 'write a secret id there (auth/<mount>/role/<role>/secret-id in vault)',
  })
  return { role_id: roleId, secret_id: secretId }
}

/** Texts of openbao/builtin/credential/approle/path_login.go, checked on OpenBao 2.7.2. */
function knownRefusals(mount: string): KnownRefusal[] {
  return [
    {
      says: /invalid role or secret ID|invalid secret.?id/i,
      advice:
        'the secret id has expired, was used up or revoked, or belongs to another role: write a new one to vault.auth.secretIdFile, and check vault.auth.roleIdFile',
    },
    {
      says: /invalid role.?id/i,
      advice: 'the role was deleted or made again: write its role id to vault.auth.roleIdFile',
    },
    {
      says: /missing secret_id/,
      advice: 'the role has bind_secret_id: set vault.auth.secretIdFile',
    },
    {
      says: /source address|CIDR/i,
      advice: 'secret_id_bound_cidrs or token_bound_cidrs of the role do not include this host',
    },
    {
      says: /permission denied|no handler for route|route entry not found|namespace not found/,
      advice: `is an approle method enabled at vault.auth.mount = ${mount}, is vault.namespace right, or has vault locked the role out after too many wrong secret ids (user lockout, 15 min)?`,
    },
  ]
}
