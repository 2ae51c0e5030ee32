import type { CallContext } from '../../call-context.ts'
import { SecretCache } from '../../memory/secret-cache.ts'
import type { OpenedEnvelope } from '../../seed/envelope.ts'
import type { KeySnapshot } from '../../seed/key-snapshot.ts'
import { doesOpenSeed, LOCAL_KEY_BYTES, openSeed, type SealedSeed } from '../../seed/local-seal.ts'
import type { Clock } from '../../time/clock.ts'
import type { DecryptInput } from '../../transit/transit.ts'
import { SharedWork } from './shared-work.ts'

/**
 * Maximum number of local keys in memory. Stored data needs at most one for each start of an API server, which then asks for a DEK
 * seed, and one for each rotation, until that data is rewritten.
 */
export const MAX_KEYS = 4096
/** Maximum number of shared requests, because they outlive their callers. Further calls send their own. */
const MAX_UNWRAPS = 1024
/** The same for what such a request keeps in memory of a call; kube-apiserver stores no longer ciphertext of a DEK seed. */
const MAX_SHARED_BYTES = 1024

/** A DEK seed under a local key. */
export type LocalEnvelope = OpenedEnvelope & {
  readonly sealed: SealedSeed
}

/** What a shared request needs of the envelope of the call that asks. */
type SharedEnvelope = Pick<LocalEnvelope, 'ciphertext' | 'associatedData' | 'sealed'>

export interface LocalKeyRingOptions {
  /** Decrypts a local key with Transit; the receiver owns and zeroes it. */
  readonly decrypt: (input: DecryptInput, context: CallContext) => Promise<Buffer>
  /** Whether local keys may be kept and used from memory. False if kms.localKeys is off, and after the offline limit. */
  readonly mayUse: () => boolean
  /** Called when a local key was added. */
  readonly onChange?: (() => void) | undefined
  /** Called when a local key decrypted a DEK seed. */
  readonly onOpened?: ((note: RingNote) => void) | undefined
  readonly clock: Clock
}

/** A local key as Transit encrypted it, with its cluster and its key id. */
export interface RingNote {
  readonly ciphertext: string
  readonly clusterId: string
  /** The key id of the data under this local key. */
  readonly keyId: string
}

/**
 * The local keys that this plugin knows, its own and those of other nodes. It opens DEK seeds with them, and asks Transit once
 * for a key that it does not know. Each is identified by its encrypted form and its cluster.
 */
export class LocalKeyRing {
  readonly #options: LocalKeyRingOptions
  readonly #keys: SecretCache<RingNote>
  readonly #unwrapping: SharedWork<void>
  #clears = 0
  /** The key ids of the versions that Vault decrypts; undefined until it was read. */
  #known: KeySnapshot['references'] | undefined

  constructor(options: LocalKeyRingOptions) {
    this.#options = options
    this.#unwrapping = new SharedWork(options.clock)
    this.#keys = new SecretCache({
      maxEntries: MAX_KEYS,
      secretBytes: LOCAL_KEY_BYTES,
      clock: options.clock,
    })
  }

  get size(): number {
    return this.#keys.size
  }

  /** Decrypts a DEK seed, which the caller owns and zeroes. The claim of the envelope was checked. */
  async open(envelope: LocalEnvelope, context: CallContext): Promise<Buffer> {
    const { mayUse } = this.#options
    const seed = this.openNow(envelope)
    if (seed !== undefined) return seed
    const isLong = envelope.sealed.bytes.byteLength > MAX_SHARED_BYTES
    if (!mayUse() || isLong || this.#unwrapping.size >= MAX_UNWRAPS)
      return this.#openAlone(envelope, context)
    await this.#unwrapOnce(envelope, context)
    // The data of the call that asked may have been changed, and the local key may not be kept: other calls must not fail for it.
    return this.openNow(envelope) ?? this.#openAlone(envelope, context)
  }

  /** Asks Transit for this call alone, and keeps nothing. */
  async #openAlone(envelope: LocalEnvelope, context: CallContext): Promise<Buffer> {
    return openAndZero(await this.#options.decrypt(envelope, context), envelope.sealed)
  }

  /** The same without Vault; undefined if the local key is not known. */
  openNow(envelope: LocalEnvelope): Buffer | undefined {
    const note = noteOf(envelope)
    const key = this.find(note)
    if (key === undefined) return undefined
    const seed = openAndZero(key, envelope.sealed)
    this.#options.onOpened?.(note)
    return seed
  }

  /** A local key that may be used now, as a copy that the caller owns and zeroes. */
  find({ ciphertext, clusterId }: RingNote): Buffer | undefined {
    return this.#options.mayUse() ? this.#keys.find(identify(ciphertext, clusterId)) : undefined
  }

  /** Adds a local key that Transit has just encrypted or decrypted. */
  add(note: RingNote, key: Uint8Array): void {
    this.#keys.keep(identify(note.ciphertext, note.clusterId), key, note)
    this.#options.onChange?.()
  }

  /** Makes a local key of this plugin the last to be evicted: what it encrypts must be read again. */
  refresh(note: RingNote, key: Uint8Array): void {
    if (!this.#keys.has(identify(note.ciphertext, note.clusterId))) this.add(note, key)
  }

  /** All local keys, as copies that the caller owns and zeroes. */
  list(): readonly (RingNote & { readonly key: Buffer })[] {
    return this.#keys.list().map(({ secret, note }) => ({ ...note, key: secret }))
  }

  /** Removes the local keys of key versions that Vault no longer has, or no longer decrypts; returns whether there were any. */
  retain({ references }: KeySnapshot): boolean {
    const before = this.size
    this.#known = references
    this.#keys.retain(({ keyId }) => references.has(keyId))
    return this.size !== before
  }

  clear(): void {
    this.#clears += 1
    this.#keys.clear()
  }

  /** Concurrent calls for one local key share one request, under the uid of the first. */
  #unwrapOnce(envelope: LocalEnvelope, context: CallContext): Promise<void> {
    const id = identify(envelope.ciphertext, envelope.sealed.clusterId)
    return this.#unwrapping.run(id, context, (deadline) => {
      // It outlives the message in which this call arrived.
      const { ciphertext, associatedData, sealed } = envelope
      const copy = { ciphertext, associatedData, sealed: copyOf(sealed) }
      const { uid, onVaultRequest } = context
      return this.#unwrap(copy, { deadline, uid, onVaultRequest })
    })
  }

  /**
   * Learns a local key, but only if it opens the envelope: a wrong key in memory and in the sealed file would make all data under
   * it unreadable.
   */
  async #unwrap(envelope: SharedEnvelope, context: CallContext): Promise<void> {
    const { decrypt, mayUse } = this.#options
    const clears = this.#clears
    const { ciphertext, associatedData } = envelope
    const key = await decrypt({ ciphertext, associatedData }, context)
    try {
      if (!doesOpenSeed(key, envelope.sealed)) return
      // What Vault answered before a refusal, or before it disabled the version, is not kept after it.
      const isKnown = this.#known?.has(envelope.sealed.keyId) !== false
      if (mayUse() && isKnown && clears === this.#clears) this.add(noteOf(envelope), key)
    } finally {
      key.fill(0)
    }
  }
}

/** Identifies an encrypted local key of a cluster: two are equal only if both parts are. */
function identify(ciphertext: string, clusterId: string): string {
  return `${String(ciphertext.length)}:${ciphertext}${clusterId}`
}

function copyOf(sealed: SealedSeed): SealedSeed {
  const { bytes, associatedData } = sealed
  return { ...sealed, bytes: Buffer.from(bytes), associatedData: Buffer.from(associatedData) }
}

function noteOf({ ciphertext, sealed: { keyId, clusterId } }: SharedEnvelope): RingNote {
  return { ciphertext, clusterId, keyId }
}

/** Opens a DEK seed and zeroes the copy of the local key. */
function openAndZero(key: Buffer, sealed: SealedSeed): Buffer {
  try {
    return openSeed(key, sealed)
  } finally {
    key.fill(0)
  }
}
