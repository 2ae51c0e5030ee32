import { BridgeError } from '../errors.ts'
import { HEADERS_PATH, planHeader } from './header-part.ts'
import { planLogin, planLoginRemoval, rolePath } from './login-part.ts'
import { join, NOTHING, remark, type Change, type Plan } from './plan.ts'
import { planProvider, planProviderRemoval } from './provider-part.ts'
import type { Right, Values } from '../operator/right.ts'
import { planPolicy, planPolicyRemoval, policyPath } from './policy/policy-part.ts'
import { planEngineRemoval, planTransit } from './transit-part.ts'
import type { VaultSettings } from '../operator/vault-settings.ts'
import { UID_HEADER, type Wanted, type WantedPlugin, type WantedProvider } from './wanted.ts'

const KEPT = `the audited header ${UID_HEADER} and disable_upsert stay: they do no harm, and other programs may rely on them`

/** Reads everything that setup manages and plans the changes. Throws VAULT_DENIED with all rights that reading lacks. */
export async function planSetup(vault: VaultSettings, wanted: Wanted): Promise<Plan> {
  const { plugin, provider } = wanted
  await requireRights(vault, readingRights(wanted))
  return withoutRepetition(
    join(
      plugin === undefined ? NOTHING : await planPlugin(vault, plugin),
      provider === undefined ? NOTHING : await planProvider(vault, provider),
    ),
  )
}

async function planPlugin(vault: VaultSettings, plugin: WantedPlugin): Promise<Plan> {
  return join(
    await planTransit(vault, plugin),
    await planPolicy(vault, plugin),
    await planLogin(vault, plugin),
    await planHeader(vault, plugin),
  )
}

/** As {@link planSetup}, for `setup --remove`. */
export async function planRemoval(vault: VaultSettings, wanted: Wanted): Promise<Plan> {
  const { plugin, provider } = wanted
  await requireRights(vault, [...readingRights(wanted), ...listingRights(wanted), read('sys/auth')])
  return join(
    plugin === undefined ? NOTHING : await planPluginRemoval(vault, plugin),
    provider === undefined ? NOTHING : await planProviderRemoval(vault, provider, plugin),
    plugin === undefined ? NOTHING : remark('note', KEPT),
  )
}

async function planPluginRemoval(vault: VaultSettings, plugin: WantedPlugin): Promise<Plan> {
  return join(
    await planLoginRemoval(vault, plugin),
    await planPolicyRemoval(vault, plugin),
    await planEngineRemoval(vault, plugin.transit.mount),
  )
}

/** Plugin and provider may share an engine and a login, which are then planned twice. */
function withoutRepetition({ changes, remarks }: Plan): Plan {
  return {
    changes: uniqueBy(changes, ({ path }) => path),
    remarks: uniqueBy(remarks, ({ text }) => text),
  }
}

/** Keeps the first item with each name. */
function uniqueBy<T>(items: readonly T[], nameOf: (item: T) => string): readonly T[] {
  const names = items.map(nameOf)
  return items.filter((_item, index) => names.indexOf(names[index] ?? '') === index)
}

/** Applies the changes in order and reports each. Throws VAULT_DENIED before the first one if rights are missing. */
export async function applyPlan(
  vault: VaultSettings,
  { changes }: Plan,
  onDone: (what: string) => void,
): Promise<void> {
  await requireRights(
    vault,
    changes.map(({ right }) => right),
  )
  for (const { path, body, secrets, what } of changes) {
    await (body === undefined
      ? vault.remove(path)
      : vault.write(path, { ...body, ...revealAll(secrets) }))
    onDone(what)
  }
}

function readingRights({ plugin, provider }: Wanted): readonly Right[] {
  return [
    ...(plugin === undefined ? [] : pluginRights(plugin)),
    ...(provider === undefined ? [] : providerRights(provider)),
  ]
}

function pluginRights({ transit, policy, login, inNamespace }: WantedPlugin): readonly Right[] {
  const { mount, key } = transit
  return [
    read('sys/mounts'),
    read(`${mount}/keys/${key}`),
    read(`${mount}/config/keys`),
    read(policyPath(policy.name)),
    ...(login === undefined
      ? []
      : [read('sys/auth'), read(`auth/${login.mount}/config`), read(rolePath(login))]),
    ...(inNamespace ? [] : [{ path: HEADERS_PATH, capabilities: ['read', 'sudo'] as const }]),
  ]
}

function providerRights({ login }: WantedProvider): readonly Right[] {
  const auth =
    typeof login === 'string' ? [] : [read('sys/auth'), read(`auth/${login.mount}/config`)]
  return [read('sys/mounts'), ...auth]
}

function read(path: string): Right {
  return { path, capabilities: ['read'] }
}

function listingRights({ plugin, provider }: Wanted): readonly Right[] {
  const logins = [plugin?.login, provider?.login].flatMap((login) =>
    typeof login === 'object' ? [`auth/${login.mount}/role`] : [],
  )
  const engines = [plugin?.transit.mount, provider?.mount].flatMap((mount) =>
    mount === undefined ? [] : [`${mount}/keys`],
  )
  return [...engines, ...logins].map((path) => ({ path, capabilities: ['list'] }))
}

async function requireRights(vault: VaultSettings, rights: readonly Right[]): Promise<void> {
  const missing = await vault.findMissing(uniqueBy(rights, (right) => JSON.stringify(right)))
  if (missing.length === 0) return
  const lines = missing.map(({ path, capabilities }) => `  ${path}: ${capabilities.join(', ')}`)
  const text = 'the operator token lacks rights; nothing was changed. It needs a policy with'
  throw new BridgeError('VAULT_DENIED', [`${text}:`, ...lines].join('\n'))
}

function revealAll(secrets: Change['secrets'] = {}): Values {
  return Object.fromEntries(
    Object.entries(secrets).map(([name, { content }]) => [name, content.reveal()]),
  )
}
