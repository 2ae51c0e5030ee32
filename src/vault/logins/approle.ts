import type { Clock } from '../../time/clock.ts'
import type { VaultRequester } from '../client/request.ts'
import { readCredentialFile } from '../../files/credential-file.ts'
import { LoginEndpoint } from './login-endpoint.ts'
import type { Login } from './login.ts'
import { digestOf } from './refusal-hold.ts'
import type { KnownRefusal } from './refusal.ts'

export interface AppRoleLoginOptions {
  readonly client: VaultRequester
  readonly mount: string
  readonly roleIdFile: string
  readonly secretIdFile: string
  readonly clock: Clock
  /** From 0 up to 1, for jitter. Default: Math.random. */
  readonly random?: () => number
}

/** Method approle: both ids are read from their files for each login, so that they can be rotated. */
export function appRoleLogin(options: AppRoleLoginOptions): Login {
  const { client, mount, clock, random } = options
  const endpoint = new LoginEndpoint({
    client,
    method: 'approle',
    mount,
    known: knownRefusals(mount),
    clock,
    countsRefusals: true,
    random,
  })
  return {
    method: 'approle',
    async login(context) {
      const { roleId, secretId } = await readIds(options)
      const body = { role_id: roleId, secret_id: secretId }
      return endpoint.login({ body, digest: digestOf(roleId, secretId) }, context)
    },
  }
}

async function readIds({ roleIdFile, secretIdFile }: AppRoleLoginOptions) {
  const roleId = await readCredentialFile({
    path: roleIdFile,
    setting: 'vault.auth.roleIdFile',
    whenMissing: 'write the role id to it (auth/<mount>/role/<role>/role-id in Vault)',
  })
  const secretId = await readCredentialFile({
    path: secretIdFile,
    setting: 'vault.auth.secretIdFile',
    whenMissing: 'write a secret id to it (auth/<mount>/role/<role>/secret-id in Vault)',
  })
  return { roleId, secretId }
}

/** Messages of builtin/credential/approle/path_login.go, checked on OpenBao 2.7.2 and Vault 1.17.6. */
function knownRefusals(mount: string): KnownRefusal[] {
  return [
    {
      says: /invalid role or secret ID|invalid secret.?id/i,
      advice:
        'the secret id has expired, was used up (secret_id_num_uses) or revoked, or belongs to another role: write a new one to vault.auth.secretIdFile, and check vault.auth.roleIdFile',
    },
    {
      says: /invalid role.?id/i,
      advice: 'the role was deleted or created again: write its role id to vault.auth.roleIdFile',
    },
    {
      says: /source address|CIDR/i,
      advice: 'secret_id_bound_cidrs or token_bound_cidrs of the role do not include this host',
    },
    {
      says: /permission denied|no handler for route|route entry not found|namespace not found/,
      advice: `check that an approle method is enabled at vault.auth.mount = ${mount} and that vault.namespace is right; if they are, Vault has locked the role (user lockout, 15 min by default, shared by all nodes that use the role): find the node that sends a wrong secret id`,
    },
  ]
}
