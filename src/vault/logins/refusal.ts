import { BridgeError, type ErrorCode } from '../../errors.ts'

/** A message of Vault and advice for it. It only extends our message; no decision depends on it. */
export interface KnownRefusal {
  readonly says: RegExp
  readonly advice: string
}

/** What a local inspection of a credential shows. */
export interface CredentialFindings {
  /** Why Vault may refuse it. */
  readonly faults: readonly string[]
  /** What it claims. */
  readonly claims: string
}

/** What we know about a login that Vault refused. */
export interface RefusalFacts {
  readonly method: string
  readonly mount: string
  /** The role that we asked for, if the method has one. */
  readonly role?: string | undefined
  /** In order of precedence: the first match supplies the advice. */
  readonly known: readonly KnownRefusal[]
  /** What the credential shows; likely faults first, because a long status message is truncated. */
  readonly findings?: CredentialFindings | undefined
  /** What happens next, as a phrase. */
  readonly next?: string | undefined
}

const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'VAULT_DENIED',
  'VAULT_REJECTED',
  'VAULT_NOT_FOUND',
])

/** Whether Vault understood a login and refused it. */
export function isRefusedLogin(thrown: unknown): thrown is BridgeError {
  return thrown instanceof BridgeError && REFUSALS.has(thrown.code)
}

/** LOGIN_REFUSED: what Vault said, the likely cause, and what we see in the credential. */
export function explainRefusal(refusal: BridgeError, facts: RefusalFacts): BridgeError {
  const role = facts.role === undefined ? '' : ` with role ${JSON.stringify(facts.role)}`
  const parts = [
    `the ${facts.method} login at auth/${facts.mount}${role} was refused: ${onOneLine(refusal.message)}`,
    ...(facts.findings?.faults ?? []),
    facts.known.find(({ says }) => says.test(refusal.message))?.advice,
    facts.findings?.claims,
    facts.next,
  ]
  const message = parts.filter((part) => part !== undefined).join('; ')
  return new BridgeError('LOGIN_REFUSED', message, { cause: refusal })
}

/** Vault writes "1 error occurred:\n\t* permission denied\n\n" for some refusals. */
function onOneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}
