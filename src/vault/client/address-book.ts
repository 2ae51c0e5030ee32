import { BridgeError } from '../../errors.ts'

/** One place where Vault may be. */
export interface Address {
  /** As it stands in messages and log lines, without a slash at the end. */
  readonly text: string
  /** Scheme, host and port, as a URL compares them. */
  readonly origin: string
  readonly secure: boolean
}

/** The configured addresses, and which of them is used now: the one that worked last. */
export class AddressBook {
  readonly addresses: readonly Address[]
  #current = 0

  /** Throws CONFIG_INVALID for an empty list and for what is no address of a Vault. */
  constructor(texts: readonly string[]) {
    const addresses = new Map(texts.map(parseAddress).map((address) => [address.text, address]))
    if (addresses.size === 0)
      throw new BridgeError('CONFIG_INVALID', 'vault.address names no address')
    this.addresses = [...addresses.values()]
  }

  /** The index of the address to try first. */
  get current(): number {
    return this.#current
  }

  /** The address answered: later requests begin there. */
  prefer(index: number): void {
    this.#current = index
  }

  /** The address failed: later requests begin at the next, unless another request moved on already. */
  leave(index: number): void {
    if (this.#current === index) this.#current = (index + 1) % this.addresses.length
  }

  /** The index of the configured address with this origin, undefined if it is nobody we know. */
  find(origin: string): number | undefined {
    const index = this.addresses.findIndex((address) => address.origin === origin)
    return index === -1 ? undefined : index
  }
}

function parseAddress(text: string): Address {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    // The text is not repeated: it may hold a password.
    throw invalid('must be a URL like https://vault.example.com:8200')
  }
  if (url.username !== '' || url.password !== '') {
    throw invalid(`must not hold a user name or password (host ${url.host})`)
  }
  if (url.search !== '' || url.hash !== '') {
    throw invalid(`must not hold a query or fragment (host ${url.host})`)
  }
  const path = url.pathname.replace(/\/+$/, '')
  return { text: url.origin + path, origin: url.origin, secure: url.protocol === 'https:' }
}

function invalid(problem: string): BridgeError {
  return new BridgeError('CONFIG_INVALID', `vault.address ${problem}`)
}
