import { COMMAND_RETRY_WAIT_MS, type CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import type { KmsConfig, TransitConfig } from '../config/config.ts'
import { BridgeError, isOutage, type ErrorCode } from '../errors.ts'
import { checkClaim } from '../seed/claim-check.ts'
import type { OpenedEnvelope } from '../seed/envelope.ts'
import {
  identifyLocalKey,
  LOCAL_KEY_BYTES,
  openSeed,
  requireLocalKey,
  type SealedSeed,
} from '../seed/local-seal.ts'
import { SecretCache } from '../memory/secret-cache.ts'
import { makeSnapshot, type KeySnapshot } from '../seed/key-snapshot.ts'
import { countNextBatch, sizeOfDecrypt } from '../transit/batch.ts'
import type { DecryptInput, DecryptResult, Transit } from '../transit/transit.ts'

export interface SourceReaderOptions {
  readonly transit: Pick<Transit, 'readKey' | 'decrypt'>
  readonly place: TransitConfig
  readonly clusters: Pick<KmsConfig, 'clusterId' | 'alsoDecryptClusters'>
  readonly clock: Clock
  /** Identifies this run in Vault's audit log. */
  readonly uid: string
}

/** The result for one DEK source: its plaintext, which the receiver owns and zeroes, or why there is none. */
export type SourceResult = Buffer | BridgeError

const TIMEOUT_MS = 30_000
/** Minimum time between two reads of the key, so that a thousand unknown key ids do not cause a thousand reads. */
const KEY_AGE_MS = 2_000

/** More than a page has DEK sources, so that no local key of the current page is evicted. */
const MAX_LOCAL_KEYS = 8192

interface Asked {
  readonly index: number
  readonly source: OpenedEnvelope
  readonly id: string
}

/** Faults of one ciphertext. Any other fault is one of Vault or of the caller, and says nothing about the data. */
const DATA_FAULTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'CIPHERTEXT_INVALID',
  'ANNOTATIONS_INVALID',
  'CLUSTER_FOREIGN',
  'KEY_ID_UNKNOWN',
  'KEY_VERSION_DISABLED',
  'LOCAL_KEY_MISSING',
  'VAULT_REJECTED',
])

/** Decrypts DEK sources as the plugin does, with the same check before Vault is asked. */
export class SourceReader {
  readonly #options: SourceReaderOptions
  readonly #localKeys: SecretCache
  #snapshot: KeySnapshot | undefined

  constructor(options: SourceReaderOptions) {
    this.#options = options
    this.#localKeys = new SecretCache({
      maxEntries: MAX_LOCAL_KEYS,
      secretBytes: LOCAL_KEY_BYTES,
      clock: options.clock,
    })
  }

  /** Reads the key from Vault. */
  async readKey(): Promise<KeySnapshot> {
    const { transit, place, clusters, clock } = this.#options
    const key = await transit.readKey(place.key, this.#context())
    this.#snapshot = makeSnapshot(key, clusters, clock.monotonic())
    return this.#snapshot
  }

  /** Results are in the order of the sources. Throws any fault that is not about the data. */
  async read(sources: readonly OpenedEnvelope[]): Promise<readonly SourceResult[]> {
    const results: SourceResult[] = []
    const asked: Asked[] = []
    for (const [index, source] of sources.entries()) {
      const fault = await this.#findFault(source)
      if (fault === undefined) asked.push({ index, source, id: this.#identify(source, index) })
      else results[index] = fault
    }
    const answers = await this.#ask(asked)
    for (const { index, source, id } of asked)
      results[index] =
        source.sealed === undefined
          ? requireAnswer(answers.get(id))
          : this.#open(source.sealed, this.#localKeys.find(id) ?? answers.get(id))
    return results
  }

  /** Zeroes the local keys. */
  end(): void {
    this.#localKeys.clear()
  }

  /** All DEK sources under one local key share its request to Transit; any other one has its own. */
  #identify(source: OpenedEnvelope, index: number): string {
    return source.sealed === undefined ? `source ${String(index)}` : identifyLocalKey(source)
  }

  /** Asks Transit once for each id. Local keys that it decrypts are kept, and not returned. */
  async #ask(asked: readonly Asked[]): Promise<ReadonlyMap<string, DecryptResult>> {
    const distinct = new Map(asked.map((each) => [each.id, each]))
    const open = [...distinct.values()].filter(({ id }) => !this.#localKeys.has(id))
    const inputs = open.map(({ source }) => source)
    const answers = new Map<string, DecryptResult>()
    for (let start = 0; start < open.length;) {
      const count = countNextBatch(inputs, sizeOfDecrypt, start)
      const results = await this.#decrypt(inputs.slice(start, start + count))
      for (const [at, { id, source }] of open.slice(start, start + count).entries()) {
        const answer = requireAnswer(results[at])
        if (source.sealed === undefined || !Buffer.isBuffer(answer)) answers.set(id, answer)
        else this.#keepLocalKey(id, answer, answers)
      }
      start += count
    }
    return answers
  }

  #keepLocalKey(id: string, key: Buffer, answers: Map<string, DecryptResult>): void {
    try {
      requireLocalKey(key)
      this.#localKeys.keep(id, key, undefined)
    } catch (error) {
      answers.set(id, BridgeError.from(error))
    } finally {
      key.fill(0)
    }
  }

  #open(sealed: SealedSeed, key: DecryptResult | undefined): SourceResult {
    if (!Buffer.isBuffer(key)) return requireAnswer(key)
    try {
      return openSeed(key, sealed)
    } catch (error) {
      if (isDataFault(error)) return error
      throw error
    } finally {
      key.fill(0)
    }
  }

  async #decrypt(inputs: readonly DecryptInput[]): Promise<readonly DecryptResult[]> {
    const { transit, place } = this.#options
    try {
      return await transit.decrypt(place.key, inputs, this.#context())
    } catch (error) {
      // The fault of a single value is the fault of the whole request.
      if (inputs.length === 1 && isDataFault(error)) return [error]
      throw error
    }
  }

  async #findFault(source: OpenedEnvelope): Promise<BridgeError | undefined> {
    try {
      await checkClaim(source, this.#options.clusters, (isKnown) => this.#snapshotFor(isKnown))
      return undefined
    } catch (error) {
      if (isDataFault(error)) return error
      throw error
    }
  }

  /** The known key; read again if it is not sufficient and not fresh, as after a rotation. */
  async #snapshotFor(isKnown: (snapshot: KeySnapshot) => boolean): Promise<KeySnapshot> {
    const known = this.#snapshot ?? (await this.readKey())
    const isFresh = this.#options.clock.monotonic() - known.takenAt < KEY_AGE_MS
    return isKnown(known) || isFresh ? known : this.readKey()
  }

  #context(): CallContext {
    const { clock, uid } = this.#options
    const deadline = clock.monotonic() + TIMEOUT_MS
    return { deadline, maxRetryWaitMs: COMMAND_RETRY_WAIT_MS, uid }
  }
}

function isDataFault(error: unknown): error is BridgeError {
  return error instanceof BridgeError && DATA_FAULTS.has(error.code)
}

/** An outage that affects one value of a batch says nothing about the value. */
function requireAnswer(answer: DecryptResult | undefined): SourceResult {
  if (answer === undefined) throw new TypeError('there is no result for a DEK source')
  if (answer instanceof BridgeError && isOutage(answer)) throw answer
  return answer
}
