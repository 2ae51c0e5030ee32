import { BridgeError } from '../../errors.ts'
import type { Address, AddressBook } from './address-book.ts'
import type { RawAnswer } from './answer.ts'
import { AttemptFailure } from './attempt.ts'

/** A standby names the active node; more than one step beyond that is a loop. */
export const MAX_REDIRECTS = 2

/** Where a redirect leads. */
export interface RedirectTarget {
  readonly index: number
  readonly path: string
}

/** Whether an answer sends the client elsewhere. */
export function isRedirect(raw: RawAnswer): boolean {
  return raw.status >= 300 && raw.status < 400
}

/**
 * Where to follow a redirect, or the refusal. Only a configured address is followed, because the token and the
 * plaintext go along; only with the method kept (RFC 9110 §15.4: 307 and 308, the others for GET alone).
 */
export function resolveRedirect(
  raw: RawAnswer,
  from: Address,
  book: AddressBook,
): RedirectTarget | AttemptFailure {
  const base = `${from.text}/`
  const url =
    raw.location !== undefined && URL.canParse(raw.location, base)
      ? new URL(raw.location, base)
      : undefined
  if (url === undefined) return refuse(from, `redirects (status ${String(raw.status)}) to nowhere`)
  if (!keepsMethod(raw)) {
    return refuse(
      from,
      `redirects to ${url.origin} with status ${String(raw.status)}, which loses the request`,
    )
  }
  if (from.secure && url.protocol !== 'https:') {
    return refuse(from, `redirects to ${url.origin}, which has no TLS`)
  }
  const index = book.find(url.origin)
  if (index === undefined) {
    return refuse(
      from,
      `redirects to ${url.origin}, which is not in vault.address; add it if it is yours`,
    )
  }
  return { index, path: url.pathname + url.search }
}

/** The refusal of a chain that does not end. */
export function refuseLoop(from: Address): AttemptFailure {
  return refuse(
    from,
    `redirects for the ${String(MAX_REDIRECTS + 1)}rd time; check the api_addr of the vault servers`,
  )
}

function keepsMethod(raw: RawAnswer): boolean {
  if (raw.status === 307 || raw.status === 308) return true
  return (raw.status === 301 || raw.status === 302) && raw.attempt.request.method === 'GET'
}

function refuse(from: Address, words: string): AttemptFailure {
  const error = new BridgeError('VAULT_REDIRECT_REFUSED', `vault at ${from.text} ${words}`)
  return new AttemptFailure(error, 'elsewhere')
}
