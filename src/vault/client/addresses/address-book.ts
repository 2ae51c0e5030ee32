import { BridgeError } from '../../../errors.ts'
import type { VaultOperation } from '../request.ts'
import { trimSlashes } from '../../../text/slashes.ts'

/** How long an address may be silent before a request is sent to another one, or over another connection. */
const PATIENCE_MS = 750
/**
 * The same for a login. Vault may have to ask another server for it (a TokenReview, LDAP), and each login that is sent twice leaves
 * a token behind and costs one use of a secret id.
 */
const LOGIN_PATIENCE_MS = 1_500
/** The patience is at least the duration of the last answer to the same operation, times this. */
const PATIENCE_FACTOR = 4

/** One address of Vault. */
export interface Address {
  /** As in messages and log lines, without a trailing slash. */
  readonly text: string
  /** Scheme, host and port in the normal form of a URL. */
  readonly origin: string
  readonly secure: boolean
}

/**
 * The configured addresses, the one in use (the one that worked last), and those that were proven to be the Vault
 * that this program works with. See docs/design.md, "Addresses".
 */
export class AddressBook {
  readonly addresses: readonly Address[]
  readonly #proven = new Set<number>()
  #current = 0
  readonly #patienceMs = new Map<VaultOperation, number>()

  /** Throws CONFIG_INVALID for an empty list and for a text that is not the address of a Vault. */
  constructor(texts: readonly string[]) {
    const addresses = new Map(texts.map(parseAddress).map((address) => [address.text, address]))
    if (addresses.size === 0) throw new BridgeError('CONFIG_INVALID', 'vault.address is empty')
    this.addresses = [...addresses.values()]
  }

  /** The index of the address to try first. */
  get current(): number {
    return this.#current
  }

  /** The address answered: later requests start there. */
  prefer(index: number): void {
    this.#current = index
  }

  /** The address failed: later requests start at the next one, unless another request already moved on. */
  leave(index: number): void {
    if (this.#current === index) this.#current = (index + 1) % this.addresses.length
  }

  /** How long an address may be silent before a request is sent elsewhere: a slow Vault must not receive each request twice. */
  patienceFor(operation: VaultOperation): number {
    return this.#patienceMs.get(operation) ?? leastPatience(operation)
  }

  /** Some address answered after this time. */
  noteAnswer(operation: VaultOperation, milliseconds: number): void {
    const patienceMs = Math.max(leastPatience(operation), milliseconds * PATIENCE_FACTOR)
    this.#patienceMs.set(operation, patienceMs)
  }

  /** What this address says about the key or about our identity counts as Vault's decision. */
  prove(index: number): void {
    this.#proven.add(index)
  }

  /** Another address answered what this one refused: it is a different Vault, or no longer the same one. */
  disprove(index: number): void {
    this.#proven.delete(index)
  }

  isProven(index: number): boolean {
    return this.#proven.has(index)
  }

  get hasProven(): boolean {
    return this.#proven.size > 0
  }

  /** Whether other addresses were proven and this one was not: it may be another Vault. */
  isDoubtful(index: number): boolean {
    return this.hasProven && !this.#proven.has(index)
  }

  /** The index of the configured address with this origin; undefined if there is none. */
  find(origin: string): number | undefined {
    const index = this.addresses.findIndex((address) => address.origin === origin)
    return index === -1 ? undefined : index
  }
}

function leastPatience(operation: VaultOperation): number {
  return operation === 'login' ? LOGIN_PATIENCE_MS : PATIENCE_MS
}

function parseAddress(text: string): Address {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    // The message does not repeat the text, which may contain a password.
    throw invalid('must be a URL like https://vault.example.com:8200')
  }
  if (url.username !== '' || url.password !== '') {
    throw invalid(`must not contain a user name or password (host ${url.host})`)
  }
  if (url.search !== '' || url.hash !== '') {
    throw invalid(`must not contain a query or fragment (host ${url.host})`)
  }
  const path = trimSlashes(url.pathname)
  return { text: url.origin + path, origin: url.origin, secure: url.protocol === 'https:' }
}

function invalid(problem: string): BridgeError {
  return new BridgeError('CONFIG_INVALID', `vault.address ${problem}`)
}
