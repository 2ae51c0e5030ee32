import { change, join, NOTHING, remark, type Plan } from './plan.ts'
import { readGrants, type Grants } from './policy-hcl.ts'
import type { VaultSettings } from '../operator/vault-settings.ts'
import type { Wanted } from './wanted.ts'

export function policyPath(name: string): string {
  return `sys/policies/acl/${name}`
}

/** The policy: our text, unless what is there grants the same in other words. */
export async function planPolicy(vault: VaultSettings, { policy }: Wanted): Promise<Plan> {
  const path = policyPath(policy.name)
  const found = (await vault.read(path))?.['policy']
  const what = `policy ${policy.name}`
  const put = { what, path, body: { policy: policy.hcl }, needs: ['update'] as const }
  const ours = readGrants(policy.hcl) ?? new Map()
  if (typeof found !== 'string' || found === '')
    return change({ action: 'add', ...put, details: describeGrants(ours) })
  const theirs = readGrants(found)
  if (theirs === undefined) {
    const text = `${what} is written in a way that setup cannot read, so it cannot say whether it is wider; it will be replaced`
    return join(change({ action: 'change', ...put }), remark('warn', text))
  }
  if (theirs.size > 0 && [...ours.keys()].every((name) => !theirs.has(name))) {
    return remark(
      'stop',
      `${what} is for other paths (${[...theirs.keys()].slice(0, 3).join(', ')}): does another cluster use it? choose another name with --policy`,
    )
  }
  const details = [...findWider(theirs, ours), ...findNarrower(theirs, ours)]
  if (details.length === 0) return NOTHING
  const wider = findWider(theirs, ours).map((one) => `${what} is wider: ${one}`)
  return change({ action: 'change', ...put, details, wider })
}

/** Of a policy, what it grants beyond another. */
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

function describeGrants(grants: Grants): readonly string[] {
  return [...grants].map(([path, { capabilities }]) => `${path}: ${capabilities.join(', ')}`)
}

/** Takes the policy away, unless it is somebody else's. */
export async function planPolicyRemoval(vault: VaultSettings, { policy }: Wanted): Promise<Plan> {
  const path = policyPath(policy.name)
  const found = (await vault.read(path))?.['policy']
  if (typeof found !== 'string') return NOTHING
  const ours = readGrants(policy.hcl) ?? new Map()
  const theirs = readGrants(found)
  if (theirs !== undefined && theirs.size > 0 && ![...ours.keys()].some((one) => theirs.has(one)))
    return remark('note', `policy ${policy.name} is for other paths and stays`)
  return change({ action: 'remove', what: `policy ${policy.name}`, path, needs: ['delete'] })
}
