import { BridgeError } from '../errors.ts'
import type { SourceReader, SourceResult } from '../storage/source-reader.ts'
import { requireLocalKey } from '../seed/local-seal.ts'
import type { Finding, ParsedObject, Proof } from '../verify/proof.ts'
import type { KeyTable } from './key-table.ts'
import { findNeed, isNeed, type Need } from './need.ts'
import { openObject } from './object-opening.ts'

export interface CollectionOptions {
  readonly reader: Pick<SourceReader, 'read'>
  readonly table: KeyTable
  readonly acceptVaultKubernetesKms: boolean
  /** Whether DEK seeds that Transit encrypted itself go into the escrow, too. */
  readonly includeSeeds: boolean
}

const DIRECT: Finding = {
  kind: 'unproven',
  why: 'Transit encrypted its DEK seed without a local key; enable kms.localKeys and run transit-bridge rotate, or pass --include-seeds',
}

/**
 * Collects the keys that objects need, each through Transit once, and proves each object by decrypting it with the collected key
 * alone.
 */
export class Collection implements Proof {
  readonly #options: CollectionOptions
  readonly #faults = new Map<string, Finding>()
  readonly #versions = new Set<number>()

  constructor(options: CollectionOptions) {
    this.#options = options
  }

  /** The Transit key versions of the collected keys. */
  get keyVersions(): readonly number[] {
    return [...this.#versions].toSorted((one, other) => one - other)
  }

  async check(objects: readonly ParsedObject[]): Promise<readonly (Finding | undefined)[]> {
    const { acceptVaultKubernetesKms } = this.#options
    const needs = objects.map(({ stored }) => findNeed(stored, acceptVaultKubernetesKms))
    await this.#collect(needs.filter(isNeed))
    return objects.map(({ key }, index) => {
      const need = needs[index]
      return isNeed(need) ? this.#prove(need, key) : need
    })
  }

  /** Leaves the table of keys to its owner. */
  end(): void {
    this.#faults.clear()
  }

  #prove(need: Need, key: Uint8Array): Finding | undefined {
    const secret = this.#options.table.find(need.id)
    if (secret === undefined) return this.#faults.get(need.id) ?? DIRECT
    const opened = openObject(need, secret, key)
    if (!Buffer.isBuffer(opened)) return opened
    opened.fill(0)
    return undefined
  }

  /** Asks Transit for the new keys of a page together. */
  async #collect(needs: readonly Need[]): Promise<void> {
    const { reader, table, includeSeeds } = this.#options
    const missing = needs.filter(
      ({ kind, id }) =>
        (includeSeeds || kind === 'local-key') &&
        table.find(id) === undefined &&
        !this.#faults.has(id),
    )
    const distinct = [...new Map(missing.map((need) => [need.id, need])).values()]
    // Without the seed that it encrypts, the reader decrypts a local key like any other source: the result is the key itself.
    const results = await reader.read(
      distinct.map(({ envelope }) => ({ ...envelope, sealed: undefined })),
    )
    for (const [index, need] of distinct.entries()) this.#keep(need, results[index])
  }

  #keep({ kind, id, envelope }: Need, result: SourceResult | undefined): void {
    if (result === undefined) throw new TypeError('there is no result for a key')
    const fault = result instanceof BridgeError ? result : findKeyFault(kind, result)
    if (fault !== undefined) {
      const why = `its ${kind === 'seed' ? 'DEK seed' : 'local key'}: ${fault.message}`
      this.#faults.set(id, { kind: 'unreadable', why, code: fault.code })
      return
    }
    this.#versions.add(envelope.keyVersion)
    this.#options.table.add(kind, id, result as Buffer)
  }
}

function findKeyFault(kind: Need['kind'], key: Buffer): BridgeError | undefined {
  if (kind === 'seed') return undefined
  try {
    requireLocalKey(key)
    return undefined
  } catch (thrown) {
    key.fill(0)
    return BridgeError.from(thrown)
  }
}
