import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'

/** Looks up host names as Node.js does, and shows whether a lookup is in progress: getaddrinfo(3) may take 10 s and more. */
export class NameLookup {
  #pending = 0

  get isPending(): boolean {
    return this.#pending > 0
  }

  readonly lookup: LookupFunction = (host, options, callback) => {
    this.#pending += 1
    lookup(host, options, (error, ...found) => {
      this.#pending -= 1
      callback(error, ...found)
    })
  }
}
