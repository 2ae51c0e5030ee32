import { LRUCache } from 'lru-cache'
import type { CallContext } from '../../call-context.ts'
import type { Clock } from '../../time/clock.ts'
import { BridgeError, isOutage } from '../../errors.ts'
import { isStepBack, STEP_BACK_PATIENCE_MS, type TransitKey } from '../../transit/key.ts'
import type { Transit } from '../../transit/transit.ts'
import { waitWithin } from '../../time/bounded-wait.ts'

/** Names of keys come from classes, so what is remembered of them has a bound. */
const MAX_KEYS = 1_000
/** Of the JavaScript heap. A version is at most the PEM text of an RSA-4096 key. */
const MAX_KEY_BYTES = 8 * 1024 * 1024
const VERSION_BYTES = 1024
const MAX_PROOFS = 10_000
/** How long one read may take, whoever waits for it. */
const READ_TIMEOUT_MS = 10_000

export interface KeyMemoryOptions {
  /** Milliseconds that metadata may be old. */
  readonly refreshInterval: number
  /** Milliseconds after which Vault is asked again whether an identity may read a key. */
  readonly revalidateAfter: number
  readonly clock: Clock
}

/** Who asks. */
export interface KeyReader {
  readonly engine: Pick<Transit, 'readKey'>
  /** Stands for what Vault lets the reader do; see PodSession. */
  readonly rights: string
}

/** What Vault said of a key. */
export interface KnownKey {
  /** Undefined: Vault said that there is none. */
  readonly key: TransitKey | undefined
  /** Milliseconds of Clock.monotonic. */
  readonly readAt: number
  readonly steppedBackAt?: number
}

interface Read {
  readonly rights: string
  readonly result: Promise<KnownKey>
}

/**
 * Metadata of keys, shared by all pods of the node: one read for each key and refresh interval, whoever's turn it
 * is. Yet it is Vault who decides whom it is for: a reader gets what another one's read brought only while Vault
 * has let a reader with the same rights read that same key within `revalidateAfter`. The read that proves this
 * is the same GET, and it refreshes the metadata for all.
 */
export class KeyMemory {
  readonly #options: KeyMemoryOptions
  readonly #known = new LRUCache<string, KnownKey>({
    max: MAX_KEYS,
    maxSize: MAX_KEY_BYTES,
    sizeCalculation: ({ key }) => VERSION_BYTES * (1 + (key?.versions.size ?? 0)),
  })
  /** When Vault last let these rights read this key. */
  readonly #proofs = new LRUCache<string, number>({ max: MAX_PROOFS })
  /** By key, the reads under way. */
  readonly #reads = new Map<string, Read[]>()

  constructor(options: KeyMemoryOptions) {
    this.#options = options
  }

  /** What is known of a key, not older than the refresh interval. Throws as Transit.readKey, but not KEY_MISSING. */
  async read(name: string, reader: KeyReader, context: CallContext): Promise<KnownKey> {
    if (!this.#isProven(name, reader)) return this.#readAs(name, reader, context)
    const known = this.#known.get(name)
    if (known !== undefined && this.#age(known.readAt) < this.#options.refreshInterval) return known
    const [underWay] = this.#reads.get(name) ?? []
    if (underWay === undefined || underWay.rights === reader.rights)
      return this.#readAs(name, reader, context)
    try {
      return await this.#wait(underWay, context)
    } catch (thrown) {
      // What Vault denies to others says nothing about this reader.
      if (isOutage(BridgeError.from(thrown))) throw thrown
      return this.#readAs(name, reader, context)
    }
  }

  #isProven(name: string, { rights }: KeyReader): boolean {
    const at = this.#proofs.get(proofOf(name, rights))
    const { revalidateAfter, refreshInterval } = this.#options
    return at !== undefined && this.#age(at) < Math.max(revalidateAfter, refreshInterval)
  }

  /** A read of the reader's own; those with the same rights share it. */
  #readAs(name: string, reader: KeyReader, context: CallContext): Promise<KnownKey> {
    const { rights } = reader
    const reads = this.#reads.get(name) ?? []
    const shared = reads.find((read) => read.rights === rights)
    if (shared !== undefined) return this.#wait(shared, context)
    const result = this.#ask(name, reader, context.uid).finally(() => {
      const others = (this.#reads.get(name) ?? []).filter((other) => other !== read)
      if (others.length === 0) this.#reads.delete(name)
      else this.#reads.set(name, others)
    })
    const read: Read = { rights, result }
    this.#reads.set(name, [...reads, read])
    return this.#wait(read, context)
  }

  async #ask(name: string, reader: KeyReader, uid: string | undefined): Promise<KnownKey> {
    const { clock } = this.#options
    const deadline = clock.monotonic() + READ_TIMEOUT_MS
    const proof = proofOf(name, reader.rights)
    try {
      const context = uid === undefined ? { deadline } : { deadline, uid }
      const key = await readOrNone(name, reader, context)
      const known = this.#accept(name, key)
      this.#proofs.set(proof, clock.monotonic())
      return known
    } catch (thrown) {
      if (!isOutage(BridgeError.from(thrown))) this.#proofs.delete(proof)
      throw thrown
    }
  }

  #accept(name: string, key: TransitKey | undefined): KnownKey {
    const readAt = this.#options.clock.monotonic()
    const before = this.#known.get(name)
    const next = { key, readAt }
    const isOlder = before?.key !== undefined && key !== undefined && isStepBack(before.key, key)
    if (!isOlder) return this.#keep(name, next)
    const steppedBackAt = before.steppedBackAt ?? readAt
    if (readAt - steppedBackAt >= STEP_BACK_PATIENCE_MS) return this.#keep(name, next)
    return this.#keep(name, { key: before.key, readAt, steppedBackAt })
  }

  #keep(name: string, known: KnownKey): KnownKey {
    this.#known.set(name, known)
    return known
  }

  #wait({ result }: Read, context: CallContext): Promise<KnownKey> {
    return waitWithin(result, context, this.#options.clock, 'vault')
  }

  #age(at: number): number {
    return this.#options.clock.monotonic() - at
  }
}

/** That there is no such key is knowledge, too: an optional object asks for it every minute. */
async function readOrNone(
  name: string,
  { engine }: KeyReader,
  context: CallContext,
): Promise<TransitKey | undefined> {
  try {
    return await engine.readKey(name, context)
  } catch (thrown) {
    const error = BridgeError.from(thrown)
    if (error.code === 'KEY_MISSING') return undefined
    if (error.code !== 'DEADLINE_EXCEEDED') throw error
    throw new BridgeError('VAULT_TIMEOUT', 'vault did not answer in time', { cause: error })
  }
}

function proofOf(name: string, rights: string): string {
  return `${rights} ${name}`
}
