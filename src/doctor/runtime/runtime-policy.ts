import type { CallContext } from '../../call-context.ts'
import type { CsiConfig, CsiRule } from '../../config/config.ts'
import { inVaultNamespace, placeOf, type EnginePlace } from '../../csi/engine-place.ts'
import { NamePatterns } from '../../csi/identity/name-pattern.ts'
import { openPodSession, type PodLoginOptions } from '../../csi/identity/pod-login.ts'
import type { PodSession } from '../../csi/identity/pod-session.ts'
import type { ServiceAccountToken } from '../../identity/service-account-token.ts'
import { readServiceAccountToken } from '../../identity/token-file.ts'
import { VaultSettings } from '../../operator/vault-settings.ts'
import { quoted } from '../../text/quoted.ts'
import { fail, unknown, wordsOf, type Finding } from '../finding.ts'
import { judgeRights, pathsOf, rightsOfRule } from './runtime-rights.ts'

const WHAT = 'runtime policy'
const LOGIN_TIMEOUT_MS = 10_000
const REVOKE_TIMEOUT_MS = 1_000

export interface RuntimePolicyOptions extends PodLoginOptions {
  readonly csi: Pick<CsiConfig, 'audience' | 'auth' | 'authByNamespace' | 'rules'>
  /** The engine of rules that name none. */
  readonly home: EnginePlace
  /** The file of --pod-token. */
  readonly podToken: string | undefined
}

/**
 * Checks whether Vault allows a pod what the rules allow it at run time. The driver has no identity in Vault, so only a token
 * of the pod's service account can show that.
 */
export async function checkRuntimePolicy(
  options: RuntimePolicyOptions,
): Promise<readonly Finding[]> {
  const { podToken, csi } = options
  if (podToken === undefined) {
    const why = 'only a service account of pods can see whether Vault allows what csi.rules allow'
    return [unknown(WHAT, why, `pass --pod-token FILE, written with ${createToken(csi)}`)]
  }
  try {
    const token = await readServiceAccountToken(
      podToken,
      '--pod-token',
      `write it with ${createToken(csi)}`,
    )
    const rules = csi.rules.filter((rule) => isFor(rule, token))
    const found = await Promise.all(rules.map((rule) => checkRule(rule, token, options)))
    return rules.length > 0 ? found.flat() : [noRule(token)]
  } catch (thrown) {
    return [fail(WHAT, wordsOf(thrown))]
  }
}

function createToken({ audience }: Pick<CsiConfig, 'audience'>): string {
  return `kubectl create token NAME -n NAMESPACE --audience ${audience}`
}

function isFor(rule: CsiRule, { claims }: ServiceAccountToken): boolean {
  const [, , namespace = '', account = ''] = (claims.subject ?? '').split(':')
  const { operations = [], namespaces, serviceAccounts } = rule
  return (
    operations.length > 0 &&
    new NamePatterns(namespaces).matches(namespace) &&
    new NamePatterns(serviceAccounts).matches(account)
  )
}

function noRule({ claims: { subject = '' } }: ServiceAccountToken): Finding {
  const why = `no rule in csi.rules with operations matches ${quoted(subject)}`
  return fail(WHAT, why, 'add a rule, or pass the token of another service account')
}

async function checkRule(
  rule: CsiRule,
  token: ServiceAccountToken,
  options: RuntimePolicyOptions,
): Promise<readonly Finding[]> {
  const place = placeOf(rule, options.home)
  const found = await Promise.all(
    rule.roles.map(async (role) => {
      if (role.includes('*')) return [openRole(role)]
      const session = openPodSession(token, role, place.vaultNamespace, options)
      const findings = await checkRole(rule, { role, place, session }, options)
      await session.end(within(REVOKE_TIMEOUT_MS, options))
      return findings
    }),
  )
  return found.flat()
}

function openRole(role: string): Finding {
  const why = `a rule allows all roles that match ${quoted(role)}, and which of them exist is not known`
  return unknown(WHAT, why, 'name the roles in the rule')
}

interface RoleOfPod {
  readonly role: string
  readonly place: EnginePlace
  readonly session: PodSession
}

async function checkRole(
  rule: CsiRule,
  { role, place, session }: RoleOfPod,
  options: RuntimePolicyOptions,
): Promise<readonly Finding[]> {
  const who = `role ${role}${inVaultNamespace(place)}`
  const rights = rightsOfRule(rule, place.mount)
  try {
    await session.requester.ready(within(LOGIN_TIMEOUT_MS, options))
  } catch (thrown) {
    return [fail(WHAT, `${who}: ${wordsOf(thrown)}`)]
  }
  try {
    const vault = new VaultSettings({ client: session.requester, clock: options.clock })
    return judgeRights(who, rights, await vault.capabilities(pathsOf(rights)))
  } catch (thrown) {
    const fix = 'this check needs the policy "default" on the role'
    return [unknown(WHAT, `${who}: ${wordsOf(thrown)}`, fix)]
  }
}

function within(timeoutMs: number, { clock }: Pick<RuntimePolicyOptions, 'clock'>): CallContext {
  return { deadline: clock.monotonic() + timeoutMs }
}
