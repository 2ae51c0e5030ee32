import { BridgeError } from '../../errors.ts'

/** Something Vault says, and what the reader should look at then. */
export interface KnownRefusal {
  readonly says: RegExp
  readonly advice: string
}

/** What we know of a login that Vault refused. */
export interface RefusalFacts {
  readonly method: string
  readonly mount: string
  /** The role or name we asked for, when the method has one. */
  readonly role?: string
  /** Tried in this order; the first that fits gives the advice. */
  readonly known: readonly KnownRefusal[]
  /** What our own look at the credential says, as a phrase ("the token: issuer …"). */
  readonly credential?: string
}

/** LOGIN_REFUSED: what Vault said, the likely cause and our own look at the credential. */
export function explainRefusal(refusal: BridgeError, facts: RefusalFacts): BridgeError {
  const role = facts.role === undefined ? '' : ` with role ${JSON.stringify(facts.role)}`
  const parts = [
    `the ${facts.method} login at auth/${facts.mount}${role} was refused: ${oneLine(refusal.message)}`,
    adviceFor(refusal, facts.known),
    facts.credential,
  ]
  const message = parts.filter((part) => part !== undefined).join('; ')
  return new BridgeError('LOGIN_REFUSED', message, { cause: refusal })
}

function adviceFor(refusal: BridgeError, known: readonly KnownRefusal[]): string | undefined {
  return known.find(({ says }) => says.test(refusal.message))?.advice
}

/** Vault writes "1 error occurred:\n\t* permission denied\n\n" for some refusals. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}
