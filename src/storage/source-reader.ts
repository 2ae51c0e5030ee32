import type { CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import type { KmsConfig, TransitConfig } from '../config/config.ts'
import { BridgeError, isOutage, type ErrorCode } from '../errors.ts'
import { refuseUnknown, requireSameReference } from '../seed/key-reference.ts'
import { makeSnapshot, type KeySnapshot } from '../seed/key-snapshot.ts'
import type { DecryptInput, DecryptResult, Transit } from '../transit/transit.ts'
import type { WrappedSource } from './wrapped-source.ts'

export interface SourceReaderOptions {
  readonly transit: Pick<Transit, 'readKey' | 'decrypt'>
  readonly place: TransitConfig
  readonly clusters: Pick<KmsConfig, 'clusterId' | 'alsoDecryptClusters'>
  readonly clock: Clock
  /** Names this run in Vault's audit log. */
  readonly uid: string
}

/** What comes of one DEK source: its plaintext, which the receiver owns and zeroes, or why there is none. */
export type SourceResult = Buffer | BridgeError

const TIMEOUT = 30_000
/** OpenBao refuses a body of over 1,000 JSON strings. */
const BATCH = 64
/** A key id that is not known makes the key be read again, but not for each of a thousand. */
const KEY_AGE = 2_000

/** Faults of one ciphertext. Anything else is a fault of Vault or of who asks, and nothing is said about the data. */
const OF_THE_DATA: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'CIPHERTEXT_INVALID',
  'ANNOTATIONS_INVALID',
  'CLUSTER_FOREIGN',
  'KEY_ID_UNKNOWN',
  'KEY_VERSION_DISABLED',
  'VAULT_REJECTED',
])

/** Decrypts DEK sources as the plugin would, with the same checks before Vault is asked. */
export class SourceReader {
  readonly #options: SourceReaderOptions
  #snapshot: KeySnapshot | undefined

  constructor(options: SourceReaderOptions) {
    this.#options = options
  }

  /** The key as Vault tells it; throws if Vault cannot be asked. */
  async readKey(): Promise<KeySnapshot> {
    const { transit, place, clusters, clock } = this.#options
    const key = await transit.readKey(place.key, this.#context())
    this.#snapshot = makeSnapshot(key, clusters, clock.monotonic())
    return this.#snapshot
  }

  /** Results stand in the order of the sources. Throws what is no fault of the data. */
  async read(sources: readonly WrappedSource[]): Promise<readonly SourceResult[]> {
    const results: SourceResult[] = []
    const asked: number[] = []
    for (const [index, source] of sources.entries()) {
      const fault = await this.#findFault(source)
      if (fault === undefined) asked.push(index)
      else results[index] = fault
    }
    for (let start = 0; start < asked.length; start += BATCH) {
      const batch = asked.slice(start, start + BATCH)
      const inputs = batch.flatMap((index) => sources[index]?.opened ?? [])
      const answers = await this.#decrypt(inputs)
      for (const [at, index] of batch.entries()) results[index] = requireAnswer(answers[at])
    }
    return results
  }

  async #decrypt(inputs: readonly DecryptInput[]): Promise<readonly DecryptResult[]> {
    const { transit, place } = this.#options
    try {
      return await transit.decrypt(place.key, inputs, this.#context())
    } catch (error) {
      // Of a lone value Vault's answer is that of the whole request.
      if (inputs.length === 1 && isOfTheData(error)) return [error]
      throw error
    }
  }

  async #findFault({ opened, clusterId }: WrappedSource): Promise<BridgeError | undefined> {
    try {
      if (clusterId !== undefined) this.#requireKnownCluster(clusterId)
      const isKnown = ({ references, key }: KeySnapshot) =>
        opened.claim === undefined
          ? key.versions.has(opened.keyVersion)
          : references.has(opened.claim.keyId)
      const snapshot = await this.#keyThat(isKnown)
      if (!isKnown(snapshot)) return refuseUnknown(opened, snapshot)
      if (opened.claim !== undefined) requireSameReference(opened, opened.claim, snapshot)
      return undefined
    } catch (error) {
      if (isOfTheData(error)) return error
      throw error
    }
  }

  /** The key as it is known, read again if it does not hold and is not fresh: it may have been rotated. */
  async #keyThat(holds: (snapshot: KeySnapshot) => boolean): Promise<KeySnapshot> {
    const known = this.#snapshot ?? (await this.readKey())
    const isFresh = this.#options.clock.monotonic() - known.takenAt < KEY_AGE
    return holds(known) || isFresh ? known : this.readKey()
  }

  #requireKnownCluster(clusterId: string): void {
    const { clusterId: own, alsoDecryptClusters } = this.#options.clusters
    if (clusterId === own || alsoDecryptClusters.includes(clusterId)) return
    throw new BridgeError(
      'CLUSTER_FOREIGN',
      `the data belongs to cluster ${JSON.stringify(clusterId.slice(0, 128))}, kms.clusterId is ${JSON.stringify(own)}; after a restore, list the other one in kms.alsoDecryptClusters`,
    )
  }

  #context(): CallContext {
    const { clock, uid } = this.#options
    return { deadline: clock.monotonic() + TIMEOUT, uid }
  }
}

function isOfTheData(error: unknown): error is BridgeError {
  return error instanceof BridgeError && OF_THE_DATA.has(error.code)
}

/** An outage that hits one item of a batch says nothing about the item. */
function requireAnswer(answer: DecryptResult | undefined): SourceResult {
  if (answer === undefined) throw new TypeError('there is no result for a DEK source')
  if (answer instanceof BridgeError && isOutage(answer)) throw answer
  return answer
}
