import type { CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import { BridgeError, isRefusal, type ErrorCode } from '../errors.ts'
import type { DecryptInput, EncryptInput } from '../transit/transit.ts'
import { waitWithin } from '../time/bounded-wait.ts'
import { encodeAssociatedData, makeAnnotations } from '../seed/annotations.ts'
import type { DecryptCache } from './decrypt-cache.ts'
import {
  isVaultKubernetesKmsEnvelope,
  openCiphertext,
  openEnvelope,
  openVaultKubernetesKmsEnvelope,
  readText,
  type Envelope,
  type OpenedEnvelope,
} from '../seed/envelope.ts'
import type { Health } from './health.ts'
import type { KeyWatch } from './key-watch.ts'
import { refuseUnknown, requireSameReference } from '../seed/key-reference.ts'
import type { KeySnapshot } from '../seed/key-snapshot.ts'
import { encodeV1AssociatedData, makeV1Cipher, openV1Cipher } from '../seed/v1-cipher.ts'

/** kube-apiserver throws away an answer with a longer one (kmsv2/envelope.go, encryptedDEKSourceMaxSize). */
const MAX_SEED_CIPHERTEXT_LENGTH = 1024
/** A snapshot older than this is read again before a key id that is not in it is refused (milliseconds). */
const UNKNOWN_KEY_ID_AGE = 5_000
/** A ciphertext of a newer version waits until the snapshot is this old: another node saw a rotation first. */
const NEWER_VERSION_AGE = 250
/** Wait before an HA standby is asked again for a key version that it does not have yet (milliseconds). */
const STANDBY_LAG_WAIT = 100
const STANDBY_LAG_TRIES = 3

/** Faults of one call that say nothing about the next one, so health is not looked at for them. */
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
  /** Also decrypt what vault-kubernetes-kms wrote (kms.acceptFrom). */
  readonly acceptVaultKubernetesKms: boolean
  readonly watch: KeyWatch
  readonly health: Health
  readonly encrypt: (input: EncryptInput, context: CallContext) => Promise<string>
  readonly decrypt: (input: DecryptInput, context: CallContext) => Promise<Buffer>
  readonly cache?: DecryptCache
  readonly onCacheHit: () => void
  readonly clock: Clock
}

export interface ServiceStatus {
  /** "ok" or why not. */
  readonly healthz: string
  /** Empty until Vault was reached once: then there is no key that could be named. */
  readonly keyId: string
}

/** Key encryption service for one cluster, in plain types: the gRPC adapters of v2 and v1beta1 call it. */
export class KeyService {
  readonly #options: KeyServiceOptions

  constructor(options: KeyServiceOptions) {
    this.#options = options
  }

  /** From memory: no call to Vault is ever made for it (design §2.5). */
  status(): ServiceStatus {
    const { watch, health, clock } = this.#options
    return { healthz: health.state(clock.monotonic()).text, keyId: watch.snapshot?.keyId ?? '' }
  }

  /** Wraps a DEK seed with the version that Status announces. */
  async encrypt(plaintext: Uint8Array, context: CallContext): Promise<Envelope> {
    const annotations = makeAnnotations(this.#options.clusterId)
    const associatedData = encodeAssociatedData(annotations)
    const { ciphertext, keyId } = await this.#wrap(plaintext, associatedData, context)
    // Anything longer than a DEK seed is a test's or a person's; the API server would refuse its answer.
    if (plaintext.byteLength <= 64 && ciphertext.length > MAX_SEED_CIPHERTEXT_LENGTH) {
      throw new BridgeError('VAULT_ANSWER_INVALID', 'vault made a ciphertext of over 1024 bytes')
    }
    return { ciphertext: Buffer.from(ciphertext, 'latin1'), keyId, annotations }
  }

  /** Unwraps a DEK seed; the caller owns the plaintext and zeroes it. Checks before it asks (design §2.4). */
  async decrypt(envelope: Envelope, context: CallContext): Promise<Buffer> {
    const isForeign =
      this.#options.acceptVaultKubernetesKms && isVaultKubernetesKmsEnvelope(envelope)
    return this.#unwrap(
      isForeign ? openVaultKubernetesKmsEnvelope(envelope.ciphertext) : openEnvelope(envelope),
      context,
    )
  }

  /** KMS v1: like {@link encrypt}, with everything inside one byte string. */
  async encryptV1(plaintext: Uint8Array, context: CallContext): Promise<Buffer> {
    const { clusterId } = this.#options
    const associatedData = encodeV1AssociatedData(clusterId)
    const { ciphertext } = await this.#wrap(plaintext, associatedData, context)
    return makeV1Cipher(clusterId, ciphertext)
  }

  /** KMS v1: like {@link decrypt}. */
  async decryptV1(cipher: Uint8Array, context: CallContext): Promise<Buffer> {
    const text = readText(cipher)
    const own = openV1Cipher(text)
    if (own !== undefined) {
      this.#requireKnownCluster(own.clusterId)
      return this.#unwrap(own.opened, context)
    }
    if (!this.#options.acceptVaultKubernetesKms) {
      throw new BridgeError(
        'CIPHERTEXT_INVALID',
        'the cipher was not written by transit-bridge; if vault-kubernetes-kms wrote it, set kms.acceptFrom: [vault-kubernetes-kms]',
      )
    }
    return this.#unwrap(openCiphertext(text), context)
  }

  /** Encrypts something and decrypts it again: what health is proven by. */
  async prove(snapshot: KeySnapshot, context: CallContext): Promise<void> {
    const associatedData = encodeAssociatedData(makeAnnotations(this.#options.clusterId))
    const plaintext = Buffer.from('transit-bridge health check')
    const keyVersion = snapshot.keyVersion
    const { encrypt, decrypt } = this.#options
    const ciphertext = await encrypt({ plaintext, associatedData, keyVersion }, context)
    const answer = await decrypt({ ciphertext, associatedData }, context)
    if (!answer.equals(plaintext)) {
      throw new BridgeError(
        'VAULT_ANSWER_INVALID',
        'vault decrypted something else than it encrypted',
      )
    }
  }

  /** One request; a second one only when Vault refuses the announced version (design §2.2). */
  async #wrap(
    plaintext: Uint8Array,
    associatedData: Buffer,
    context: CallContext,
  ): Promise<{ ciphertext: string; keyId: string }> {
    const { watch, encrypt } = this.#options
    return this.#watchFaults(async () => {
      const announced = await watch.current(context)
      const wrapWith = async ({ keyVersion, keyId }: KeySnapshot) => ({
        ciphertext: await encrypt({ plaintext, associatedData, keyVersion }, context),
        keyId,
      })
      try {
        return await wrapWith(announced)
      } catch (error) {
        if (!isVersionRefused(error)) throw error
        const fresh = await watch.refresh(context)
        const isSame = fresh.keyId === announced.keyId
        if (isSame && error.code === 'KEY_VERSION_DISABLED') throw error
        return await this.#tryPatiently(() => wrapWith(fresh), context)
      }
    })
  }

  async #unwrap(opened: OpenedEnvelope, context: CallContext): Promise<Buffer> {
    return this.#watchFaults(async () => {
      await this.#check(opened, context)
      const { cache } = this.#options
      const remembered = cache?.find(opened)
      if (remembered !== undefined) {
        this.#options.onCacheHit()
        return remembered
      }
      const plaintext = await this.#tryPatiently(
        () => this.#options.decrypt(opened, context),
        context,
      )
      cache?.keep(opened, plaintext)
      return plaintext
    })
  }

  /** Throws unless the key, as it is known, can have made this and may read it. */
  async #check(opened: OpenedEnvelope, context: CallContext): Promise<void> {
    const { claim, keyVersion } = opened
    if (claim !== undefined) this.#requireKnownCluster(claim.clusterId)
    const isKnown = ({ references, key }: KeySnapshot) =>
      claim === undefined ? key.versions.has(keyVersion) : references.has(claim.keyId)
    const { watch, clock } = this.#options
    let snapshot = await watch.current(context)
    if (!isKnown(snapshot) && keyVersion > snapshot.keyVersion) {
      await this.#pause(snapshot.takenAt + NEWER_VERSION_AGE - clock.monotonic(), context)
      snapshot = await watch.refreshIfOlderThan(NEWER_VERSION_AGE, context)
    } else if (!isKnown(snapshot)) {
      snapshot = await watch.refreshIfOlderThan(UNKNOWN_KEY_ID_AGE, context)
    }
    if (!isKnown(snapshot)) throw refuseUnknown(opened, snapshot)
    if (claim !== undefined) requireSameReference(opened, claim, snapshot)
  }

  /** An HA standby may not know the newest version for a moment (vault-transit facts §1.3). */
  async #tryPatiently<T>(work: () => Promise<T>, context: CallContext): Promise<T> {
    const { clock } = this.#options
    for (let tries = 1; ; tries += 1) {
      try {
        return await work()
      } catch (error) {
        const isLagging = error instanceof BridgeError && error.code === 'KEY_VERSION_UNKNOWN'
        const hasTime = clock.monotonic() + STANDBY_LAG_WAIT < context.deadline
        if (!isLagging || tries >= STANDBY_LAG_TRIES || !hasTime) throw error
        await this.#pause(STANDBY_LAG_WAIT, context)
      }
    }
  }

  async #pause(milliseconds: number, context: CallContext): Promise<void> {
    if (milliseconds <= 0) return
    const { clock } = this.#options
    const pause = new Promise<void>((resolve) => void clock.after(milliseconds, resolve))
    await waitWithin(pause, context, clock, 'vault')
  }

  #requireKnownCluster(clusterId: string): void {
    const { clusterId: own, alsoDecryptClusters } = this.#options
    if (clusterId === own || alsoDecryptClusters.includes(clusterId)) return
    throw new BridgeError(
      'CLUSTER_FOREIGN',
      `the data belongs to cluster ${JSON.stringify(clusterId.slice(0, 128))}, this is ${JSON.stringify(own)}; after a restore, list the other one in kms.alsoDecryptClusters`,
    )
  }

  /** A fault that may concern every call makes the watch look at once; a refusal empties the memory. */
  async #watchFaults<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      if (!CALLER_FAULTS.has(error.code)) {
        if (isRefusal(error)) this.#options.cache?.clear()
        this.#options.watch.suspect()
      }
      throw error
    }
  }
}

function isVersionRefused(error: unknown): error is BridgeError {
  return (
    error instanceof BridgeError &&
    (error.code === 'KEY_VERSION_DISABLED' || error.code === 'KEY_VERSION_UNKNOWN')
  )
}
