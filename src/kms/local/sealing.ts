import type { CallContext } from '../../call-context.ts'
import type { LocalKeysConfig } from '../../config/config.ts'
import type { Envelope } from '../../seed/envelope.ts'
import type { KeySnapshot } from '../../seed/key-snapshot.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { Clock } from '../../time/clock.ts'
import type { DecryptInput, EncryptInput } from '../../transit/transit.ts'
import { LocalKeyRing } from './ring.ts'
import { LocalKeys } from './own-keys.ts'
import { OfflineLimit } from './offline-limit.ts'

export interface LocalKeysSetup {
  readonly config: LocalKeysConfig
  readonly clusterId: string
  /** Encrypts with Transit. */
  readonly encrypt: (input: EncryptInput, context: CallContext) => Promise<string>
  /** Decrypts with Transit; the receiver owns and zeroes the plaintext. */
  readonly decrypt: (input: DecryptInput, context: CallContext) => Promise<Buffer>
  readonly clock: Clock
  readonly log: Logger
}

export interface LocalKeysParts {
  /** Always there: data that local keys encrypted is read also if kms.localKeys is off now. */
  readonly ring: LocalKeyRing
  /** Absent if kms.localKeys is off. */
  readonly sealing?: LocalSealing | undefined
}

/** Connects the parts of local keys. */
export function createLocalKeys(setup: LocalKeysSetup): LocalKeysParts {
  const { config, clock } = setup
  if (!config.enabled) return { ring: new LocalKeyRing({ ...setup, mayUse: () => false }) }
  const limit = new OfflineLimit({
    offlineForMs: config.offlineForMs,
    onEnd: () => sealing.clear(),
    clock,
  })
  const ring = new LocalKeyRing({ ...setup, mayUse: () => limit.mayDecrypt })
  const sealing = new LocalSealing({ ...setup, ring, limit })
  return { ring, sealing }
}

interface LocalSealingOptions extends LocalKeysSetup {
  readonly ring: LocalKeyRing
  readonly limit: OfflineLimit
}

/**
 * Encrypts DEK seeds with local keys (kms.localKeys; docs/design.md, "Local keys"). Vault decides how long: the key watch
 * reports each check that passed, and each refusal.
 */
export class LocalSealing {
  readonly #options: LocalSealingOptions
  readonly #keys: LocalKeys

  constructor(options: LocalSealingOptions) {
    this.#options = options
    this.#keys = new LocalKeys(options)
  }

  /** Makes the local key for a snapshot, unless there is one that is not due. Throws what Vault's answer means. */
  prepare(snapshot: KeySnapshot, context: CallContext): Promise<void> {
    return this.#keys.prepare(snapshot, context)
  }

  /** The snapshot is announced: local keys of other key ids encrypt no more, and those of lost versions decrypt no more. */
  announce(snapshot: KeySnapshot): void {
    this.#keys.retain(snapshot)
    this.#options.ring.retain(snapshot)
  }

  /** A check passed. */
  agree(): void {
    this.#options.limit.agree()
  }

  /** Vault refused: every local key is zeroed. */
  refuse(): void {
    this.#options.limit.end()
  }

  /** The end of the time without Vault, or a refusal. */
  clear(): void {
    this.#keys.clear()
    this.#options.ring.clear()
  }

  seal(seed: Uint8Array, snapshot: KeySnapshot, context: CallContext): Promise<Envelope> {
    return this.#keys.seal(seed, snapshot, context)
  }

  /** Milliseconds for which DEK seeds can be encrypted without Vault; 0 if they cannot. */
  offlineLeftMs(snapshot: KeySnapshot | undefined): number {
    if (snapshot === undefined || !this.#keys.canSeal(snapshot)) return 0
    return this.#options.limit.encryptLeftMs
  }
}
