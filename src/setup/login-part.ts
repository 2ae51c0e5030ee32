import { change, join, NOTHING, remark, type Plan } from './plan.ts'
import type { Values } from '../operator/right.ts'
import { jwtRole, planJwtConfig } from './jwt-part.ts'
import { kubernetesRole, planKubernetesConfig } from './kubernetes-part.ts'
import { compareRole } from './role-difference.ts'
import { findStranger } from './role-owner.ts'
import { asSettings, type Settings, type VaultSettings } from '../operator/vault-settings.ts'
import { MADE_BY, type WantedLogin, type WantedMount, type WantedPlugin } from './wanted.ts'

const OTHER_METHODS =
  'setup does not prepare this login, only jwt and kubernetes; attach the policy to the role that vault.auth logs in as'

/** The auth method, its configuration and the plugin's role. */
export async function planLogin(
  vault: VaultSettings,
  { login, policy }: WantedPlugin,
): Promise<Plan> {
  if (login === undefined) return remark('note', OTHER_METHODS)
  const mount = await readAuthMount(vault, login)
  if (mount === undefined)
    return join(addMount(login), await planConfig(login, undefined), addRole(login, policy.name))
  if (!fits(mount, login)) return stopAtType(login, mount)
  const config = await vault.read(`auth/${login.mount}/config`)
  return join(await planConfig(login, config), await planRole(vault, login, policy.name))
}

/** The auth method and its configuration, without a role. */
export async function planAuthMount(vault: VaultSettings, login: WantedMount): Promise<Plan> {
  const mount = await readAuthMount(vault, login)
  if (mount === undefined) return join(addMount(login), await planConfig(login, undefined))
  if (!fits(mount, login)) return stopAtType(login, mount)
  return planConfig(login, await vault.read(`auth/${login.mount}/config`))
}

function fits({ type }: Settings, { method }: WantedMount): boolean {
  // Vault runs the same plugin under the name oidc.
  return type === method || (method === 'jwt' && type === 'oidc')
}

function stopAtType({ mount, setting }: WantedMount, { type }: Settings): Plan {
  const text = `auth/${mount}/ is a method of type ${String(type)}; set ${setting} to another mount`
  return remark('stop', text)
}

export function rolePath({ mount, role }: WantedLogin): string {
  return `auth/${mount}/role/${role}`
}

async function readAuthMount(
  vault: VaultSettings,
  { mount }: Pick<WantedMount, 'mount'>,
): Promise<Settings | undefined> {
  return asSettings((await vault.read('sys/auth'))?.[`${mount}/`])
}

function addMount({ mount, method }: WantedMount): Plan {
  return change({
    action: 'add',
    what: `login by ${method} at auth/${mount}/`,
    path: `sys/auth/${mount}`,
    body: { type: method, description: MADE_BY },
    needs: ['update', 'sudo'],
  })
}

async function planConfig(login: WantedMount, found: Settings | undefined): Promise<Plan> {
  return login.method === 'jwt' ? planJwtConfig(login, found) : planKubernetesConfig(login, found)
}

/** The fields of the plugin's role. */
function roleOf(login: WantedLogin, policy: string): Values {
  return login.method === 'jwt' ? jwtRole(login, policy) : kubernetesRole(login, policy)
}

function describeRole({ role, mount }: WantedLogin): string {
  return `role ${role} at auth/${mount}/`
}

function addRole(login: WantedLogin, policy: string): Plan {
  const body: Values = { ...roleOf(login, policy), token_ttl: 3600 }
  return change({
    action: 'add',
    what: describeRole(login),
    details: Object.entries(body).map(([name, value]) => `${name}: ${[value].flat().join(', ')}`),
    path: rolePath(login),
    body,
    needs: ['create'],
  })
}

async function planRole(vault: VaultSettings, login: WantedLogin, policy: string): Promise<Plan> {
  const found = await vault.read(rolePath(login))
  if (found === undefined) return addRole(login, policy)
  const what = describeRole(login)
  const stranger = findStranger(login, found)
  if (stranger !== undefined) {
    const text = `${what} is for ${stranger}, so another cluster may use it; set vault.auth.role to another name, or delete ${rolePath(login)}`
    return remark('stop', text)
  }
  const { body, details, wider, unknown } = compareRole(found, roleOf(login, policy))
  if (unknown.length > 0) {
    const text = `${what} has settings that setup does not know (${unknown.join(', ')}), so it may be too wide; remove them, or set vault.auth.role to another name`
    return remark('stop', text)
  }
  if (details.length === 0) return NOTHING
  return change({
    action: 'change',
    what,
    details,
    wider: wider.map((one) => `${what} is wider: ${one}`),
    path: rolePath(login),
    // Vault checks a role as a whole, so all required fields are sent.
    body: { ...roleOf(login, policy), ...body },
    needs: ['update'],
  })
}

/** Removes the role, and the auth method if setup created it and it has no other role. */
export async function planLoginRemoval(
  vault: VaultSettings,
  { login }: WantedPlugin,
): Promise<Plan> {
  if (login === undefined) return NOTHING
  const mount = await readAuthMount(vault, login)
  if (mount === undefined) return NOTHING
  const found = await vault.read(rolePath(login))
  const stranger = found === undefined ? undefined : findStranger(login, found)
  if (stranger !== undefined)
    return remark('note', `${describeRole(login)} is for ${stranger} and stays`)
  const role =
    found === undefined
      ? NOTHING
      : change({
          action: 'remove',
          what: describeRole(login),
          path: rolePath(login),
          needs: ['delete'],
        })
  return join(role, await planMountRemoval(vault, login.mount, login.role))
}

/** Removes the auth method if setup created it and it has no role other than `role`. */
export async function planMountRemoval(
  vault: VaultSettings,
  mount: string,
  role?: string,
): Promise<Plan> {
  const found = await readAuthMount(vault, { mount })
  if (found === undefined) return NOTHING
  const others = (await vault.list(`auth/${mount}/role`)).filter((name) => name !== role)
  if (others.length > 0)
    return remark('note', `auth/${mount}/ stays, for its roles: ${others.slice(0, 5).join(', ')}`)
  if (found['description'] !== MADE_BY)
    return remark('note', `auth/${mount}/ was not created by setup and stays`)
  return change({
    action: 'remove',
    what: `login at auth/${mount}/, which has no other role`,
    path: `sys/auth/${mount}`,
    needs: ['delete', 'sudo'],
  })
}
