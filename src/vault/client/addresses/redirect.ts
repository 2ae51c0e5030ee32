import { BridgeError } from '../../../errors.ts'
import type { Address, AddressBook } from './address-book.ts'
import type { RawAnswer } from '../answer.ts'
import { AttemptFailure } from '../attempt.ts'

/** A standby redirects to the active node; more than one step beyond that is a loop. */
export const MAX_REDIRECTS = 2

/** The target of a redirect. */
export interface RedirectTarget {
  readonly index: number
  readonly path: string
}

/** Whether a response is a redirect. */
export function isRedirect(raw: RawAnswer): boolean {
  return raw.status >= 300 && raw.status < 400
}

/**
 * Returns where to follow a redirect, or why not. Only redirects to a configured address are followed, because the token
 * and the plaintext are sent there, and only with the path and the method kept (RFC 9110 §15.4: 307 and 308, others for GET
 * only). A redirect that cannot be followed is an outage: a standby that cannot forward redirects to the leader it last knew,
 * which may be down (openbao http/handler.go, respondStandby), and a gateway may redirect to its login page.
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
  if (url === undefined)
    return fail(from, `sent a redirect (status ${String(raw.status)}) without a usable Location`)
  if (!keepsMethod(raw)) {
    return fail(
      from,
      `redirects to ${url.origin} with status ${String(raw.status)}, which would drop the request body; check vault.address and any proxy in front of Vault`,
    )
  }
  if (from.secure && url.protocol !== 'https:') {
    return fail(from, `redirects to ${url.origin}, which does not use TLS`)
  }
  const index = book.find(url.origin)
  if (index === undefined) {
    return fail(
      from,
      `redirects to ${url.origin}, which is not in vault.address; it may be a leader that is down; add it if it is a node of your Vault`,
    )
  }
  if (!keepsPath(url, raw)) {
    return fail(
      from,
      `redirects to another path at ${url.origin}, as a gateway does to its login page; check vault.address and any proxy in front of Vault`,
    )
  }
  return { index, path: url.pathname + url.search }
}

/** The failure for a redirect chain that does not end. */
export function failLoop(from: Address): AttemptFailure {
  return fail(
    from,
    `redirects for the ${String(MAX_REDIRECTS + 1)}rd time; check api_addr of the Vault servers`,
  )
}

/** The failure for a redirect to an address that may be another Vault (docs/design.md, "Addresses"). */
export function failDoubtful(from: Address, to: Address): AttemptFailure {
  return fail(from, `redirects to ${to.text}, which has not shown the same key yet`)
}

/** Vault keeps the path as it arrived, which lacks a prefix that a proxy in front of it removed. */
function keepsPath({ pathname }: URL, { attempt }: RawAnswer): boolean {
  const [path = ''] = attempt.request.path.split('?')
  return decodePath(pathname).endsWith(decodePath(`/v1/${path}`))
}

/** Servers differ in which characters they percent-encode. */
function decodePath(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

function keepsMethod(raw: RawAnswer): boolean {
  if (raw.status === 307 || raw.status === 308) return true
  return (raw.status === 301 || raw.status === 302) && raw.attempt.request.method === 'GET'
}

function fail(from: Address, words: string): AttemptFailure {
  const error = new BridgeError('VAULT_REDIRECT_REFUSED', `Vault at ${from.text} ${words}`)
  return new AttemptFailure(error, 'soon')
}
