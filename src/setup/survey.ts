import { BridgeError } from '../errors.ts'
import { HEADERS_PATH, planHeader } from './header-part.ts'
import { planLogin, planLoginRemoval, rolePath } from './login-part.ts'
import { join, type Change, type Plan } from './plan.ts'
import type { Right, Values } from '../operator/right.ts'
import { planPolicy, planPolicyRemoval, policyPath } from './policy-part.ts'
import { planTransit, planTransitRemoval } from './transit-part.ts'
import type { VaultSettings } from '../operator/vault-settings.ts'
import { UID_HEADER, type Wanted } from './wanted.ts'

/** Reads everything that setup manages and plans the changes. Throws VAULT_DENIED with all rights that reading lacks. */
export async function planSetup(vault: VaultSettings, wanted: Wanted): Promise<Plan> {
  await requireRights(vault, readingRights(wanted))
  return join(
    await planTransit(vault, wanted),
    await planPolicy(vault, wanted),
    await planLogin(vault, wanted),
    await planHeader(vault, wanted),
  )
}

/** As {@link planSetup}, for `setup --remove`. */
export async function planRemoval(vault: VaultSettings, wanted: Wanted): Promise<Plan> {
  const methods: Right = { path: 'sys/auth', capabilities: ['read'] }
  await requireRights(vault, [...readingRights(wanted), ...listingRights(wanted), methods])
  const kept = {
    changes: [],
    remarks: [
      {
        level: 'note' as const,
        text: `the audited header ${UID_HEADER} and disable_upsert stay: they do no harm, and other programs may rely on them`,
      },
    ],
  }
  return join(
    await planLoginRemoval(vault, wanted),
    await planPolicyRemoval(vault, wanted),
    await planTransitRemoval(vault, wanted),
    kept,
  )
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

function readingRights({ transit, policy, login, inNamespace }: Wanted): readonly Right[] {
  const { mount, key } = transit
  const read = (path: string): Right => ({ path, capabilities: ['read'] })
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

function listingRights({ transit, login }: Wanted): readonly Right[] {
  const paths = [
    `${transit.mount}/keys`,
    ...(login === undefined ? [] : [`auth/${login.mount}/role`]),
  ]
  return paths.map((path) => ({ path, capabilities: ['list'] }))
}

async function requireRights(vault: VaultSettings, rights: readonly Right[]): Promise<void> {
  const missing = await vault.findMissing(rights)
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
