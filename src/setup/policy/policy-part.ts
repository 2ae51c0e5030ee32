import { change, NOTHING, remark, type Plan } from '../plan.ts'
import { readGrants, type Grants } from './policy-hcl.ts'
import type { VaultSettings } from '../../operator/vault-settings.ts'
import { findPolicyUser } from './policy-users.ts'
import type { WantedPlugin } from '../wanted.ts'

export function policyPath(name: string): string {
  return `sys/policies/acl/${name}`
}

/** Plans our policy, unless the existing one grants the same in another form. */
export async function planPolicy(vault: VaultSettings, { policy }: WantedPlugin): Promise<Plan> {
  const path = policyPath(policy.name)
  const found = (await vault.read(path))?.['policy']
  const what = `policy ${policy.name}`
  const put = { what, path, body: { policy: policy.hcl }, needs: ['update'] as const }
  const ours = readGrants(policy.hcl) ?? new Map()
  if (typeof found !== 'string' || found === '')
    return change({ action: 'add', ...put, details: describeGrants(ours) })
  const theirs = readGrants(found)
  if (theirs === undefined) {
    const text = `${what} is written in a form that setup cannot read, so replacing it might lose something; choose another name with --policy, or delete it`
    return remark('stop', text)
  }
  const foreign = [...theirs.keys()].filter((name) => !ours.has(name))
  if (foreign.length > 0) {
    const lacking = findNarrower(theirs, ours)
    const also = lacking.length === 0 ? '' : `, and is not sufficient (${list(lacking)})`
    return remark(
      'stop',
      `${what} also has other paths (${list(foreign)}), which another cluster or program may use${also}; choose another name with --policy, or remove them by hand`,
    )
  }
  const denied = [...theirs].filter(([, grant]) => grant.capabilities.includes('deny'))
  if (denied.length > 0) {
    const paths = list(denied.map(([name]) => name))
    return remark(
      'stop',
      `${what} denies ${paths}, which setup does not undo; remove that by hand, or choose another name with --policy`,
    )
  }
  const details = [...findWider(theirs, ours), ...findNarrower(theirs, ours)]
  if (details.length === 0) return NOTHING
  const wider = findWider(theirs, ours).map((one) => `${what} is wider: ${one}`)
  return change({ action: 'change', ...put, details, wider })
}

/** What a policy grants beyond another one. */
export function findWider(theirs: Grants, ours: Grants): readonly string[] {
  return [...theirs].flatMap(([path, { capabilities }]) => {
    const known = ours.get(path)?.capabilities ?? []
    const more = capabilities.filter((one) => one !== 'deny' && !known.includes(one))
    return more.length === 0 ? [] : [`${path} also allows ${more.join(', ')}`]
  })
}

function findNarrower(theirs: Grants, ours: Grants): readonly string[] {
  return [...ours].flatMap(([path, { capabilities }]) => {
    const grant = theirs.get(path)
    const held = grant?.capabilities ?? []
    const missing = capabilities.filter((one) => !held.includes(one) || held.includes('deny'))
    const limits = grant?.limits ?? []
    return [
      ...(missing.length === 0 ? [] : [`${path} lacks ${missing.join(', ')}`]),
      ...(limits.length === 0 ? [] : [`${path} has limits: ${limits.join(', ')}`]),
    ]
  })
}

function list(paths: readonly string[]): string {
  const shown = paths.slice(0, 3).join(', ')
  return paths.length > 3 ? `${shown} and ${paths.length - 3} more` : shown
}

function describeGrants(grants: Grants): readonly string[] {
  return [...grants].map(([path, { capabilities }]) => `${path}: ${capabilities.join(', ')}`)
}

/** Removes the policy, unless it has paths that setup did not write, or another role may use it. */
export async function planPolicyRemoval(vault: VaultSettings, wanted: WantedPlugin): Promise<Plan> {
  const { policy } = wanted
  const path = policyPath(policy.name)
  const found = (await vault.read(path))?.['policy']
  if (typeof found !== 'string') return NOTHING
  const ours = readGrants(policy.hcl) ?? new Map()
  const theirs = readGrants(found)
  if (theirs === undefined)
    return remark(
      'note',
      `policy ${policy.name} is written in a form that setup cannot read and stays`,
    )
  const foreign = [...theirs.keys()].filter((name) => !ours.has(name))
  if (foreign.length > 0)
    return remark('note', `policy ${policy.name} also has other paths (${list(foreign)}) and stays`)
  const user = await findPolicyUser(vault, wanted)
  if (user !== undefined) return remark('note', `policy ${policy.name} stays: ${user}`)
  return change({ action: 'remove', what: `policy ${policy.name}`, path, needs: ['delete'] })
}
