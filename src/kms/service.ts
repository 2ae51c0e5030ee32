import type { CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import { BridgeError, isRefusal, type ErrorCode } from '../errors.ts'
import type { DecryptInput, EncryptInput } from '../transit/transit.ts'
import { encodeAssociatedData, makeAnnotations } from '../seed/annotations.ts'
import { checkClaim, isListed, requireClaim } from '../seed/claim-check.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { DecryptCache } from './decrypt-cache.ts'
import {
  isVaultKubernetesKmsEnvelope,
  MAX_PLAINTEXT_BYTES,
  openCiphertext,
  openEnvelope,
  openVaultKubernetesKmsEnvelope,
  readText,
  type Envelope,
  type OpenedEnvelope,
} from '../seed/envelope.ts'
import type { Health } from './health.ts'
import type { KeyWatch } from './key-watch.ts'
import type { LocalKeyRing } from './local/ring.ts'
import type { LocalSealing } from './local/sealing.ts'
import type { KeySnapshot } from '../seed/key-snapshot.ts'
import { pause, retryWhileStandbyLags } from './standby-lag.ts'
import { encodeV1AssociatedData, makeV1Cipher, openV1Cipher } from '../seed/v1-cipher.ts'

/** kube-apiserver discards an answer with a longer one (kmsv2/envelope.go, encryptedDEKSourceMaxSize). */
const MAX_SEED_CIPHERTEXT_BYTES = 1024
/** If the snapshot is older than this, the key is read again before data is refused for its key id or its authentication. */
const UNKNOWN_KEY_ID_AGE_MS = 5_000
/** A Decrypt with a newer version waits until the snapshot is this old: another node may have seen a rotation first. */
const NEWER_VERSION_AGE_MS = 250
/** How often the key is read for it: the node that answers first may lag, and a node behind another address may not. */
const NEWER_VERSION_TRIES = 3

/** Faults of one call that say nothing about the next one, so they start no check. */
const CALLER_FAULTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'REQUEST_INVALID',
  'CIPHERTEXT_INVALID',
  'KEY_ID_UNKNOWN',
  'ANNOTATIONS_INVALID',
  'CLUSTER_FOREIGN',
  'KEY_VERSION_DISABLED',
  'CANCELLED',
  'OVERLOADED',
])

export interface KeyServiceOptions {
  readonly clusterId: string
  readonly alsoDecryptClusters: readonly string[]
  /** Also decrypt data of vault-kubernetes-kms (kms.acceptFrom). */
  readonly acceptVaultKubernetesKms: boolean
  readonly watch: Pick<
    KeyWatch,
    | 'snapshot'
    | 'snapshotForEncrypt'
    | 'current'
    | 'currentForEncrypt'
    | 'refresh'
    | 'refreshIfOlderThan'
    | 'suspect'
  >
  readonly health: Pick<Health, 'state' | 'failure' | 'mayEncrypt' | 'mayDecrypt'>
  readonly encrypt: (input: EncryptInput, context: CallContext) => Promise<string>
  readonly decrypt: (input: DecryptInput, context: CallContext) => Promise<Buffer>
  /** Encrypts with local keys instead of Transit (kms.localKeys). */
  readonly localKeys?: Pick<LocalSealing, 'seal' | 'sealNow'> | undefined
  /** Opens what a local key encrypted, also if kms.localKeys is off now. */
  readonly ring: Pick<LocalKeyRing, 'open' | 'openNow'>
  readonly cache?: DecryptCache | undefined
  readonly budget: ByteBudget
  /** Called when Vault refuses a call: what it returned before must not be served from memory. */
  readonly onRefusal: () => void
  readonly onCacheHit: () => void
  readonly clock: Clock
}

/** Encrypts a DEK seed with the version of a snapshot. */
type SeedWrapper<T> = (snapshot: KeySnapshot) => Promise<T>

export interface ServiceStatus {
  /** "ok" or the reason why not. */
  readonly healthz: string
  /** Empty until Vault was reached once. */
  readonly keyId: string
}

/** The key encryption service of one cluster in plain types; the gRPC adapters of v2 and v1beta1 call it. */
export class KeyService {
  readonly #options: KeyServiceOptions

  constructor(options: KeyServiceOptions) {
    this.#options = options
  }

  /** Answers from memory, without a request to Vault (docs/design.md, "Status"). */
  status(): ServiceStatus {
    const { watch, health, clock } = this.#options
    return { healthz: health.state(clock.monotonic()).text, keyId: watch.snapshot?.keyId ?? '' }
  }

  /** Encrypts a DEK seed with what is in memory; undefined if Vault must be asked, as {@link encrypt} does. */
  encryptNow(plaintext: Uint8Array, context: CallContext): Envelope | undefined {
    requireShort(plaintext)
    const { localKeys, watch } = this.#options
    const snapshot = watch.snapshotForEncrypt
    return snapshot && localKeys?.sealNow(plaintext, snapshot, context)
  }

  /** Encrypts a DEK seed with the version that Status announces. */
  async encrypt(plaintext: Uint8Array, context: CallContext): Promise<Envelope> {
    requireShort(plaintext)
    const { localKeys } = this.#options
    const wrap: SeedWrapper<Envelope> =
      localKeys === undefined
        ? (snapshot) => this.#wrapWithTransit(plaintext, snapshot, context)
        : (snapshot) => localKeys.seal(plaintext, snapshot, context)
    return this.#wrap(plaintext, wrap, context)
  }

  async #wrapWithTransit(
    plaintext: Uint8Array,
    { keyId, keyVersion }: KeySnapshot,
    context: CallContext,
  ): Promise<Envelope> {
    const annotations = makeAnnotations(this.#options.clusterId)
    const associatedData = encodeAssociatedData(annotations)
    const input = { plaintext, associatedData, keyVersion }
    const ciphertext = await this.#options.encrypt(input, context)
    // kube-apiserver would discard such a response. Only tests and people send more than a DEK seed.
    if (plaintext.byteLength <= 64 && ciphertext.length > MAX_SEED_CIPHERTEXT_BYTES) {
      throw new BridgeError(
        'VAULT_ANSWER_INVALID',
        `Vault returned a ciphertext of more than ${String(MAX_SEED_CIPHERTEXT_BYTES)} bytes, which kube-apiserver refuses`,
      )
    }
    return { ciphertext: Buffer.from(ciphertext, 'latin1'), keyId, annotations }
  }

  /** Decrypts a DEK seed with what is in memory; undefined if Vault must be asked, as {@link decrypt} does. */
  decryptNow(envelope: Envelope): Buffer | undefined {
    return this.#openNow(this.#open(envelope))
  }

  /** Decrypts a DEK seed; the caller owns the plaintext and zeroes it. */
  async decrypt(envelope: Envelope, context: CallContext): Promise<Buffer> {
    return this.#within(sizeOf(envelope), context, () =>
      this.#unwrap(this.#open(envelope), context),
    )
  }

  #open(envelope: Envelope): OpenedEnvelope {
    const isForeign =
      this.#options.acceptVaultKubernetesKms && isVaultKubernetesKmsEnvelope(envelope)
    return isForeign ? openVaultKubernetesKmsEnvelope(envelope.ciphertext) : openEnvelope(envelope)
  }

  #openNow(opened: OpenedEnvelope): Buffer | undefined {
    const { cache, health, watch, ring, onCacheHit } = this.#options
    const { snapshot } = watch
    if (snapshot === undefined || !isListed(opened, snapshot)) return undefined
    requireClaim(opened, this.#options, snapshot)
    const cached = cache?.find(opened)
    if (cached !== undefined) {
      onCacheHit()
      return cached
    }
    const { sealed } = opened
    if (sealed === undefined || !health.mayDecrypt) return undefined
    return ring.openNow({ ...opened, sealed })
  }

  /** KMS v1: like {@link encrypt}, with everything in one byte string. */
  async encryptV1(plaintext: Uint8Array, context: CallContext): Promise<Buffer> {
    requireShort(plaintext)
    const { clusterId, encrypt } = this.#options
    const associatedData = encodeV1AssociatedData(clusterId)
    const wrap: SeedWrapper<string> = ({ keyVersion }) =>
      encrypt({ plaintext, associatedData, keyVersion }, context)
    return makeV1Cipher(clusterId, await this.#wrap(plaintext, wrap, context))
  }

  /** KMS v1: like {@link decrypt}. */
  async decryptV1(cipher: Uint8Array, context: CallContext): Promise<Buffer> {
    return this.#within(cipher.byteLength, context, () =>
      this.#unwrap(this.#openV1(cipher), context),
    )
  }

  #openV1(cipher: Uint8Array): OpenedEnvelope {
    const text = readText(cipher)
    const own = openV1Cipher(text)
    if (own !== undefined) return own
    if (this.#options.acceptVaultKubernetesKms) return openCiphertext(text)
    throw new BridgeError(
      'CIPHERTEXT_INVALID',
      'transit-bridge did not write this cipher; if vault-kubernetes-kms did, set kms.acceptFrom: [vault-kubernetes-kms]',
    )
  }

  /** Tries again only when Vault refuses the announced version (docs/design.md, "The life of a DEK seed"). */
  async #wrap<T>(
    plaintext: Uint8Array,
    wrapWith: SeedWrapper<T>,
    context: CallContext,
  ): Promise<T> {
    const { watch, health, clock } = this.#options
    return this.#within(plaintext.byteLength, context, async () => {
      const announced = await watch.currentForEncrypt(context)
      try {
        return await wrapWith(announced)
      } catch (error) {
        if (!isVersionRefused(error)) throw error
        const fresh = await watch.refresh(context)
        // The check may have read the key and then found that this Vault must not encrypt.
        if (!health.mayEncrypt) throw health.failure ?? error
        const isSame = fresh.keyId === announced.keyId
        if (isSame && error.code === 'KEY_VERSION_DISABLED') throw error
        return await retryWhileStandbyLags(() => wrapWith(fresh), context, clock)
      }
    })
  }

  async #unwrap(opened: OpenedEnvelope, context: CallContext): Promise<Buffer> {
    const { cache, decrypt, health, localKeys, clock } = this.#options
    await checkClaim(opened, this.#options, (isKnown) =>
      this.#snapshotFor(opened, isKnown, context),
    )
    const known = this.#openNow(opened)
    if (known !== undefined) return known
    if (!health.mayDecrypt && health.failure !== undefined) throw health.failure
    const { sealed } = opened
    const clears = cache?.clears ?? 0
    const open = () =>
      sealed === undefined
        ? decrypt(opened, context)
        : this.#options.ring.open({ ...opened, sealed }, context)
    try {
      const plaintext = await retryWhileStandbyLags(open, context, clock)
      // In the cache, what a local key decrypts would outlast kms.localKeys.offlineFor.
      if (sealed === undefined || localKeys === undefined) cache?.keep(opened, plaintext, clears)
      return plaintext
    } catch (error) {
      if (hasCode(error, 'CIPHERTEXT_INVALID')) await this.#checkClaimAgain(opened, context)
      throw error
    }
  }

  /** If Vault cannot authenticate data whose key id is known, the key may have been replaced since it was read. */
  async #checkClaimAgain(opened: OpenedEnvelope, context: CallContext): Promise<void> {
    const { watch } = this.#options
    const reading = watch.refreshIfOlderThan(UNKNOWN_KEY_ID_AGE_MS, context)
    const snapshot = await reading.catch(() => undefined)
    if (snapshot !== undefined) await checkClaim(opened, this.#options, () => snapshot)
  }

  /** The known snapshot if it is sufficient; the key is read again only if that may explain the envelope. */
  async #snapshotFor(
    { keyVersion }: OpenedEnvelope,
    isKnown: (snapshot: KeySnapshot) => boolean,
    context: CallContext,
  ): Promise<KeySnapshot> {
    const { watch, clock } = this.#options
    const snapshot = await watch.current(context)
    if (isKnown(snapshot)) return snapshot
    if (keyVersion <= snapshot.keyVersion) {
      return watch.refreshIfOlderThan(UNKNOWN_KEY_ID_AGE_MS, context)
    }
    let fresh = snapshot
    for (let tries = 0; tries < NEWER_VERSION_TRIES && !isKnown(fresh); tries += 1) {
      await pause(fresh.takenAt + NEWER_VERSION_AGE_MS - clock.monotonic(), context, clock)
      fresh = await watch.refreshIfOlderThan(NEWER_VERSION_AGE_MS, context, keyVersion)
    }
    return fresh
  }

  /** Runs a call within the budget of bytes. A fault that may concern every call makes the watch check at once. */
  async #within<T>(bytes: number, context: CallContext, work: () => Promise<T>): Promise<T> {
    const { budget, watch } = this.#options
    try {
      return await budget.spend(bytes, context, work)
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      if (CALLER_FAULTS.has(error.code)) throw error
      if (isRefusal(error)) this.#options.onRefusal()
      watch.suspect()
      throw error.code === 'DEADLINE_EXCEEDED' ? this.#explainDeadline(error) : error
    }
  }

  /** A deadline shows only that time passed; the last failed check shows why. */
  #explainDeadline(error: BridgeError): BridgeError {
    const { failure } = this.#options.health
    if (failure === undefined) return error
    const message = `${error.message}; last failure: ${failure.message}`
    return new BridgeError('DEADLINE_EXCEEDED', message, { cause: error })
  }
}

function requireShort(plaintext: Uint8Array): void {
  if (plaintext.byteLength <= MAX_PLAINTEXT_BYTES) return
  throw new BridgeError(
    'REQUEST_INVALID',
    `the plaintext has ${String(plaintext.byteLength)} bytes; at most ${String(MAX_PLAINTEXT_BYTES)} bytes are encrypted (a DEK seed has 32)`,
  )
}

function sizeOf({ ciphertext, annotations, keyId }: Envelope): number {
  let bytes = ciphertext.byteLength + keyId.length
  for (const annotation of Object.values(annotations)) bytes += annotation.byteLength
  return bytes
}

function isVersionRefused(error: unknown): error is BridgeError {
  return hasCode(error, 'KEY_VERSION_DISABLED') || hasCode(error, 'KEY_VERSION_UNKNOWN')
}

function hasCode(error: unknown, code: ErrorCode): error is BridgeError {
  return error instanceof BridgeError && error.code === code
}
