import { BridgeError } from '../../errors.ts'
import { asSettings, readTexts, type VaultSettings } from '../../operator/vault-settings.ts'
import { findStranger } from '../role-owner.ts'
import type { WantedPlugin } from '../wanted.ts'

/** Methods whose roles are at auth/MOUNT/role/NAME, with their policies in token_policies. */
const WITH_ROLES: ReadonlySet<string> = new Set(['jwt', 'oidc', 'kubernetes', 'approle'])
/** Vault shows a token only to a caller that has its accessor. */
const IGNORED: ReadonlySet<string> = new Set(['token', 'ns_token'])
/** One more is not read: each takes a request. */
const MAX_ROLES = 1_000

/** Which role other than the plugin's uses its policy, or may use it. Clusters that share a key may share the policy. */
export async function findPolicyUser(
  vault: VaultSettings,
  wanted: WantedPlugin,
): Promise<string | undefined> {
  const methods = Object.entries((await vault.read('sys/auth')) ?? {})
  for (const [mount, settings] of methods) {
    const type = String(asSettings(settings)?.['type'])
    if (IGNORED.has(type)) continue
    const user = WITH_ROLES.has(type)
      ? await findRole(vault, wanted, mount)
      : `whether auth/${mount} (${type}) uses it is unknown`
    if (user !== undefined) return user
  }
  return undefined
}

async function findRole(
  vault: VaultSettings,
  { policy, login }: WantedPlugin,
  mount: string,
): Promise<string | undefined> {
  const unknown = `whether auth/${mount} uses it is unknown`
  try {
    const names = await vault.list(`auth/${mount}role`)
    if (names.length > MAX_ROLES) return `${unknown}: it has ${String(names.length)} roles`
    for (const name of names) {
      const role = (await vault.read(`auth/${mount}role/${name}`)) ?? {}
      const isOurs = mount === `${login?.mount ?? ''}/` && name === login?.role
      if (isOurs && findStranger(login, role) === undefined) continue
      const policies = [role['token_policies'], role['policies']].flatMap(readTexts)
      if (policies.includes(policy.name)) return `the role ${name} at auth/${mount} uses it`
    }
    return undefined
  } catch (thrown) {
    if (!(thrown instanceof BridgeError) || thrown.code !== 'VAULT_DENIED') throw thrown
    return `${unknown}: the operator token may not list and read its roles`
  }
}
