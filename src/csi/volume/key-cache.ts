import type { CallContext } from '../../call-context.ts'
import type { Clock } from '../../time/clock.ts'
import { BridgeError, isOutage } from '../../errors.ts'
import { isStepBack, STEP_BACK_PATIENCE_MS, type TransitKey } from '../../transit/key.ts'
import type { Transit } from '../../transit/transit.ts'
import { waitWithin } from '../../time/bounded-wait.ts'
import { FairCache } from '../fair-cache.ts'

/** Names of keys come from classes, so the cache has bounds (docs/design.md, "Memory bounds"). */
const MAX_KEYS = 1_000
/** Part of the JavaScript heap. The largest version is the PEM text of an RSA-4096 key. */
const MAX_KEY_BYTES = 4 * 1024 * 1024
const VERSION_BYTES = 1024
const MAX_PROOFS = 10_000
/** Time limit of one read, independent of its waiters. */
const READ_TIMEOUT_MS = 10_000

export interface KeyCacheOptions {
  /** Maximum age of metadata. */
  readonly refreshIntervalMs: number
  /** Maximum age of the proof that an identity may read a key. */
  readonly revalidateAfterMs: number
  readonly clock: Clock
}

/** The identity that reads a key. */
export interface KeyReader {
  readonly engine: Pick<Transit, 'readKey'>
  /** Identifies the place of the engine; see identifyPlace. */
  readonly place: string
  /** Who the entries of this reader count for: the namespace of its pod. */
  readonly owner: string
  /** Identifies the reader's permissions in Vault; see PodSession.rights. */
  readonly rights: string
  /** The context of a derived key, which decides what its public keys are. */
  readonly derivation?: Buffer | undefined
}

/** Vault's last answer about a key. */
export interface KnownKey {
  /** Undefined if the key does not exist. */
  readonly key: TransitKey | undefined
  /** Milliseconds of Clock.monotonic. */
  readonly readAt: number
  /** Since when Vault has returned an older state than `key`; see STEP_BACK_PATIENCE_MS. */
  readonly steppedBackAt?: number
}

interface Read {
  readonly rights: string
  readonly result: Promise<KnownKey>
}

/**
 * Key metadata, shared by all pods of the node: each key is read once per refresh interval. Vault still decides who
 * may read it: a reader receives another reader's result only if, within `revalidateAfterMs`, Vault let a reader with
 * the same permissions read the same key. The read that proves this also refreshes the metadata for everyone.
 */
export class KeyCache {
  readonly #options: KeyCacheOptions
  readonly #known = new FairCache<KnownKey>({ maxSize: MAX_KEY_BYTES })
  /** When Vault last let a reader with these permissions read the key. */
  readonly #proofs = new FairCache<number>({ maxSize: MAX_PROOFS })
  /** Reads in progress, by engine and key. */
  readonly #reads = new Map<string, Read[]>()

  constructor(options: KeyCacheOptions) {
    this.#options = options
  }

  /** Returns metadata not older than the refresh interval. Throws the errors of Transit.readKey except KEY_MISSING. */
  async read(name: string, reader: KeyReader, context: CallContext): Promise<KnownKey> {
    if (!this.#isProven(name, reader)) return this.#readAs(name, reader, context)
    const id = identifyKey(name, reader)
    const known = this.#known.get(id)
    if (known !== undefined && this.#age(known.readAt) < this.#options.refreshIntervalMs)
      return known
    const [underWay] = this.#reads.get(id) ?? []
    if (underWay === undefined || underWay.rights === reader.rights)
      return this.#readAs(name, reader, context)
    try {
      return await this.#wait(underWay, context)
    } catch (thrown) {
      // A denial for another reader says nothing about this one.
      if (isOutage(BridgeError.from(thrown))) throw thrown
      return this.#readAs(name, reader, context)
    }
  }

  #isProven(name: string, reader: KeyReader): boolean {
    const at = this.#proofs.get(identifyProof(name, reader))
    const { revalidateAfterMs, refreshIntervalMs } = this.#options
    return at !== undefined && this.#age(at) < Math.max(revalidateAfterMs, refreshIntervalMs)
  }

  /** Reads with the reader's own token; readers with the same permissions share the read. */
  #readAs(name: string, reader: KeyReader, context: CallContext): Promise<KnownKey> {
    const { rights } = reader
    const id = identifyKey(name, reader)
    const reads = this.#reads.get(id) ?? []
    const shared = reads.find((read) => read.rights === rights)
    if (shared !== undefined) return this.#wait(shared, context)
    const result = this.#ask(name, reader, context.uid).finally(() => {
      const others = (this.#reads.get(id) ?? []).filter((other) => other !== read)
      if (others.length === 0) this.#reads.delete(id)
      else this.#reads.set(id, others)
    })
    const read: Read = { rights, result }
    this.#reads.set(id, [...reads, read])
    return this.#wait(read, context)
  }

  async #ask(name: string, reader: KeyReader, uid: string | undefined): Promise<KnownKey> {
    const { clock } = this.#options
    const deadline = clock.monotonic() + READ_TIMEOUT_MS
    const proof = identifyProof(name, reader)
    try {
      const id = identifyKey(name, reader)
      const knownVersion = this.#known.get(id)?.key?.latestVersion
      const key = await readOrNone(name, reader, { deadline, uid }, knownVersion)
      const known = this.#accept(id, key, reader.owner)
      this.#proofs.set(proof, clock.monotonic(), { owner: reader.owner, size: 1 })
      return known
    } catch (thrown) {
      if (!isOutage(BridgeError.from(thrown))) this.#proofs.delete(proof)
      throw thrown
    }
  }

  #accept(id: string, key: TransitKey | undefined, owner: string): KnownKey {
    const readAt = this.#options.clock.monotonic()
    const before = this.#known.get(id)
    const next = { key, readAt }
    const isOlder = before?.key !== undefined && key !== undefined && isStepBack(before.key, key)
    if (!isOlder) return this.#keep(id, next, owner)
    const steppedBackAt = before.steppedBackAt ?? readAt
    if (readAt - steppedBackAt >= STEP_BACK_PATIENCE_MS) return this.#keep(id, next, owner)
    return this.#keep(id, { key: before.key, readAt, steppedBackAt }, owner)
  }

  #keep(id: string, known: KnownKey, owner: string): KnownKey {
    this.#known.set(id, known, { owner, size: sizeOf(known) })
    return known
  }

  #wait({ result }: Read, context: CallContext): Promise<KnownKey> {
    return waitWithin(result, context, this.#options.clock, 'vault')
  }

  #age(at: number): number {
    return this.#options.clock.monotonic() - at
  }
}

/** At least the share of one key, so that the number of keys is bounded as well. */
function sizeOf({ key }: KnownKey): number {
  const versions = [...(key?.versions.values() ?? [])]
  const chains = versions.map(({ certificateChain = '' }) => certificateChain.length)
  const bytes = chains.reduce((sum, length) => sum + VERSION_BYTES + length, VERSION_BYTES)
  return Math.max(bytes, Math.floor(MAX_KEY_BYTES / MAX_KEYS))
}

/** A missing key is cached, too, because an optional object asks for it every minute. */
async function readOrNone(
  name: string,
  { engine, derivation }: KeyReader,
  context: CallContext,
  knownVersion: number | undefined,
): Promise<TransitKey | undefined> {
  try {
    return await engine.readKey(name, context, { derivation, knownVersion })
  } catch (thrown) {
    const error = BridgeError.from(thrown)
    if (error.code === 'KEY_MISSING') return undefined
    if (error.code !== 'DEADLINE_EXCEEDED') throw error
    throw new BridgeError('VAULT_TIMEOUT', 'Vault did not answer in time', { cause: error })
  }
}

function identifyKey(name: string, { place, derivation }: KeyReader): string {
  return derivation === undefined
    ? `${place} ${name}`
    : `${place} ${name} ${derivation.toString('base64')}`
}

function identifyProof(name: string, reader: KeyReader): string {
  return `${reader.rights} ${identifyKey(name, reader)}`
}
