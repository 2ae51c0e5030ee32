import { randomBytes, timingSafeEqual } from 'node:crypto'

import type { CallContext } from '../../call-context.ts'
import type { LocalKeysConfig } from '../../config/config.ts'
import { BridgeError } from '../../errors.ts'
import {
  encodeAssociatedData,
  makeLocalAnnotations,
  type Annotations,
} from '../../seed/annotations.ts'
import { MAX_WRAPPED_KEY_BYTES, type Envelope } from '../../seed/envelope.ts'
import type { KeySnapshot } from '../../seed/key-snapshot.ts'
import { encodeLocalKeyAssociatedData, LOCAL_KEY_BYTES, sealSeed } from '../../seed/local-seal.ts'
import { SaltPool } from '../../seed/salt-pool.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import type { Clock } from '../../time/clock.ts'
import { elapsedTime } from '../../time/elapsed-time.ts'
import type { DecryptInput, EncryptInput } from '../../transit/transit.ts'
import { CheckContext, logCheck } from '../check-context.ts'
import type { LocalKeyRing, RingNote } from './ring.ts'
import type { OfflineLimit } from './offline-limit.ts'
import { SharedWork } from './shared-work.ts'

const LOCAL_KEY_CHECKED = 'local key encrypted and decrypted'
/** Minimum time between two attempts of calls to replace a local key that is due. The key watch has its own interval. */
const RENEW_INTERVAL_MS = 5_000

export interface LocalKeysOptions {
  readonly config: Pick<LocalKeysConfig, 'maxUses' | 'maxAgeMs'>
  readonly clusterId: string
  /** Encrypts with Transit. */
  readonly encrypt: (input: EncryptInput, context: CallContext) => Promise<string>
  /** Decrypts with Transit; the receiver owns and zeroes the plaintext. */
  readonly decrypt: (input: DecryptInput, context: CallContext) => Promise<Buffer>
  readonly ring: Pick<LocalKeyRing, 'add' | 'refresh'>
  /** Called when a local key encrypts a DEK seed. */
  readonly onUse: (note: RingNote) => void
  readonly limit: Pick<OfflineLimit, 'encryptLeftMs'>
  readonly clock: Clock
  readonly log: Logger
}

/** A local key that encrypts. */
interface OwnKey {
  readonly keyId: string
  readonly key: Buffer
  /** As Transit encrypted it. */
  readonly ciphertext: string
  readonly annotations: Annotations
  readonly associatedData: Buffer
  readonly madeAtMs: number
  uses: number
}

type KnownKey = Pick<OwnKey, 'keyId' | 'key' | 'ciphertext'>

/**
 * The local keys that this plugin encrypts DEK seeds with (docs/design.md, "Local keys"): one for the announced key version.
 * A new one replaces it after `maxUses` uses or at the age `maxAge`. Until Vault has answered, the old one stays in use: no
 * Encrypt waits for Vault while there is a local key that may be used.
 */
export class LocalKeys {
  readonly #options: LocalKeysOptions
  readonly #elapsed: () => number
  readonly #own = new Map<string, OwnKey>()
  readonly #making: SharedWork<void>
  readonly #salts = new SaltPool()
  #renewAfterMs = -Infinity
  /** Counts the calls of {@link clear}. */
  #clears = 0

  constructor(options: LocalKeysOptions) {
    this.#options = options
    this.#elapsed = elapsedTime(options.clock)
    this.#making = new SharedWork(options.clock)
  }

  /**
   * For a check: creates the local key for a snapshot if there is none or it is due. Throws if Vault does not encrypt it. A check
   * does not share this with calls, because it gives up earlier, and must report an outage before they do.
   */
  async prepare(snapshot: KeySnapshot, context: CallContext): Promise<void> {
    const known = this.#own.get(snapshot.keyId)
    if (known === undefined || this.#isDue(known)) await this.#makeOnce(snapshot, context)
  }

  /** Whether a DEK seed can be encrypted now without Vault. */
  canSeal(snapshot: KeySnapshot): boolean {
    return this.#usable(snapshot) !== undefined
  }

  #usable({ keyId }: KeySnapshot): OwnKey | undefined {
    return this.#options.limit.encryptLeftMs > 0 ? this.#own.get(keyId) : undefined
  }

  /** Whether this plugin encrypts with a local key. */
  isOwn({ keyId, ciphertext }: Pick<RingNote, 'keyId' | 'ciphertext'>): boolean {
    return this.#own.get(keyId)?.ciphertext === ciphertext
  }

  /** Encrypts a DEK seed for the key id of a snapshot. Waits for Vault if there is no local key that may be used. */
  async seal(seed: Uint8Array, snapshot: KeySnapshot, context: CallContext): Promise<Envelope> {
    const envelope = this.sealNow(seed, snapshot, context)
    if (envelope !== undefined) return envelope
    await this.#make(snapshot, context)
    return this.#sealWith(this.#own.get(snapshot.keyId), seed)
  }

  /** The same without Vault; undefined if there is no local key that may be used. A due key is replaced in the background. */
  sealNow(seed: Uint8Array, snapshot: KeySnapshot, context: CallContext): Envelope | undefined {
    const own = this.#usable(snapshot)
    if (own === undefined) return undefined
    this.#renewIfDue(own, snapshot, context)
    return this.#sealWith(own, seed)
  }

  #sealWith(own: OwnKey | undefined, seed: Uint8Array): Envelope {
    if (own === undefined) throw removed()
    own.uses += 1
    const { ring, clusterId, onUse } = this.#options
    const note = { ciphertext: own.ciphertext, clusterId, keyId: own.keyId }
    ring.refresh(note, own.key)
    onUse(note)
    return {
      ciphertext: sealSeed(own.key, seed, own.associatedData, this.#salts.take()),
      keyId: own.keyId,
      annotations: own.annotations,
    }
  }

  /** A local key of an earlier process, to be used until Vault answers. Takes over its buffer. */
  restore(known: KnownKey): void {
    this.#adopt(known, Infinity)
  }

  /** The local keys that encrypt, as copies that the caller owns and zeroes. */
  list(): readonly (RingNote & { readonly key: Buffer })[] {
    const { clusterId } = this.#options
    return [...this.#own.values()].map(({ ciphertext, keyId, key }) => ({
      ciphertext,
      keyId,
      clusterId,
      key: Buffer.from(key),
    }))
  }

  /** Zeroes the local keys of every key id other than the announced one. */
  retain({ keyId }: KeySnapshot): void {
    for (const own of this.#own.values()) if (own.keyId !== keyId) this.#drop(own)
  }

  clear(): void {
    this.#clears += 1
    for (const own of this.#own.values()) this.#drop(own)
  }

  #drop(own: OwnKey): void {
    own.key.fill(0)
    this.#own.delete(own.keyId)
  }

  #isDue({ uses, madeAtMs }: OwnKey): boolean {
    const { maxUses, maxAgeMs } = this.#options.config
    return uses >= maxUses || this.#elapsed() - madeAtMs >= maxAgeMs
  }

  #renewIfDue(own: OwnKey, snapshot: KeySnapshot, context: CallContext): void {
    if (!this.#isDue(own) || this.#elapsed() < this.#renewAfterMs) return
    this.#renewAfterMs = this.#elapsed() + RENEW_INTERVAL_MS
    // The key watch also tries this in its next check, and reports a failure.
    this.#make(snapshot, context).catch(() => undefined)
  }

  /** Concurrent calls share one new key. */
  #make(snapshot: KeySnapshot, context: CallContext): Promise<void> {
    return this.#making.run(snapshot.keyId, context, (deadline) =>
      this.#makeOnce(snapshot, { deadline }),
    )
  }

  /** Under its own uid: an Encrypt would not explain the decrypt in Vault's audit file. */
  async #makeOnce(snapshot: KeySnapshot, context: CallContext): Promise<void> {
    const { clock, log } = this.#options
    const check = new CheckContext(clock.monotonic())
    const key = randomBytes(LOCAL_KEY_BYTES)
    try {
      const { uid, onVaultRequest } = check
      await this.#wrap(key, snapshot, { ...context, uid, onVaultRequest })
      logCheck(log, check, 'OK', LOCAL_KEY_CHECKED)
    } catch (error) {
      key.fill(0)
      logCheck(log, check, BridgeError.from(error).code, LOCAL_KEY_CHECKED)
      throw error
    }
  }

  #adopt({ keyId, key, ciphertext }: KnownKey, uses: number): void {
    const annotations = makeLocalAnnotations(this.#options.clusterId, ciphertext)
    this.#own.get(keyId)?.key.fill(0)
    this.#own.set(keyId, {
      keyId,
      key,
      ciphertext,
      annotations,
      associatedData: encodeAssociatedData(annotations),
      madeAtMs: this.#elapsed(),
      uses,
    })
  }

  /** Checks that Vault can decrypt the key again: thousands of DEK seeds will depend on this one response. */
  async #wrap(
    key: Buffer,
    { keyId, keyVersion }: KeySnapshot,
    context: CallContext,
  ): Promise<void> {
    const { clusterId, encrypt, decrypt, ring, log } = this.#options
    const associatedData = encodeLocalKeyAssociatedData(clusterId)
    const clears = this.#clears
    const ciphertext = await encrypt({ plaintext: key, associatedData, keyVersion }, context)
    requireShort(ciphertext)
    requireSame(key, await decrypt({ ciphertext, associatedData }, context))
    // What Vault answered before a refusal no longer counts.
    if (clears !== this.#clears) throw removed()
    this.#adopt({ keyId, key, ciphertext }, 0)
    ring.add({ ciphertext, clusterId, keyId }, key)
    log.info({ [logKey.keyVersion]: keyVersion }, 'created a new local key')
  }
}

function removed(): BridgeError {
  return new BridgeError('VAULT_UNAVAILABLE', 'the local key was removed while this call waited')
}

function requireSame(key: Buffer, found: Buffer): void {
  const isSame = found.length === key.length && timingSafeEqual(found, key)
  found.fill(0)
  if (isSame) return
  throw new BridgeError(
    'PLAINTEXT_WRONG',
    'Vault decrypted a local key to something other than what it encrypted; check any proxy in front of Vault, which may mix up or change responses',
  )
}

/** kube-apiserver stores it with each object. */
function requireShort(ciphertext: string): void {
  if (ciphertext.length <= MAX_WRAPPED_KEY_BYTES) return
  throw new BridgeError(
    'VAULT_ANSWER_INVALID',
    `Vault returned a ciphertext of more than ${String(MAX_WRAPPED_KEY_BYTES)} bytes for a local key`,
  )
}
