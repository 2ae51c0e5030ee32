import type { CallContext } from '../../call-context.ts'
import { BridgeError, type ErrorCode } from '../../errors.ts'
import type { VaultRequester } from '../client/request.ts'
import { grantOfLogin } from './grant.ts'
import type { Grant } from './login.ts'
import { explainRefusal, type RefusalFacts } from './refusal.ts'

const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'VAULT_DENIED',
  'VAULT_REJECTED',
  'VAULT_NOT_FOUND',
])

/** Posts to auth/<mount>/login; a refusal becomes LOGIN_REFUSED with the facts, all else passes through. */
export async function requestLogin(
  client: VaultRequester,
  facts: RefusalFacts,
  body: object,
  context: CallContext,
): Promise<Grant> {
  const path = `auth/${encodeMount(facts.mount)}/login`
  try {
    return grantOfLogin(
      await client.request({ operation: 'login', method: 'POST', path, body }, context),
    )
  } catch (thrown) {
    if (isRefusal(thrown)) throw explainRefusal(thrown, facts)
    throw thrown
  }
}

/** Whether Vault understood and said no. */
export function isRefusal(thrown: unknown): thrown is BridgeError {
  return thrown instanceof BridgeError && REFUSALS.has(thrown.code)
}

/** A mount may have several segments ("team/jwt"); each is encoded by itself. */
function encodeMount(mount: string): string {
  return mount
    .split('/')
    .filter((segment) => segment !== '')
    .map(encodeURIComponent)
    .join('/')
}
