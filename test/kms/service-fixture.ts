import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import type { CallContext } from '../../src/call-context.ts'
import { BridgeError, type ErrorCode } from '../../src/errors.ts'
import { ByteBudget } from '../../src/kms/byte-budget.ts'
import { DecryptCache } from '../../src/kms/decrypt-cache.ts'
import { Health } from '../../src/kms/health.ts'
import { createLocalKeys } from '../../src/kms/local/sealing.ts'
import type { LocalKeysConfig } from '../../src/config/config.ts'
import { KeyWatch } from '../../src/kms/key-watch.ts'
import { KeyProof } from '../../src/kms/proof.ts'
import { KeyService, type KeyServiceOptions } from '../../src/kms/service.ts'
import { createKmsMetrics } from '../../src/telemetry/metrics/roles.ts'
import { readCiphertextVersion } from '../../src/transit/ciphertext.ts'
import type { TransitKey } from '../../src/transit/key.ts'
import type { DecryptInput, DecryptResult, EncryptInput } from '../../src/transit/transit.ts'
import { HandClock } from '../fakes/clock.ts'
import { memoryLog } from '../fakes/log.ts'
import { transitKey } from './transit-key.ts'

/**
 * A key in memory that does what Transit does with one: AES-256-GCM with additional data, a version in the
 * ciphertext, and Transit's refusals.
 */
export class MemoryTransit {
  key: TransitKey
  /** Thrown by the next calls, one a call. */
  readonly faults: ErrorCode[] = []
  /** Thrown by every call. */
  bug: Error | undefined
  /** No encrypt is answered. */
  hang = false
  /** Awaited by every decrypt before it answers. */
  beforeDecrypt: (() => Promise<void>) | undefined
  /** Answered by every decrypt. */
  answer: Buffer | undefined
  /** Bytes that a ciphertext has more than needed, as one of a large RSA key would. */
  padding = 0
  /** How many of the next encrypts fail with an outage. */
  failEncrypts = 0
  reads = 0
  encrypts = 0
  decrypts = 0

  constructor(key: TransitKey) {
    this.key = key
  }

  /** What the last read of the key named as known. */
  knownVersion = 0

  readonly readKey = async (_: CallContext, knownVersion: number): Promise<TransitKey> => {
    this.reads += 1
    this.knownVersion = knownVersion
    this.#fail()
    return this.key
  }

  readonly encrypt = async (input: EncryptInput): Promise<string> => {
    this.encrypts += 1
    return this.#encrypt(input)
  }

  /** One request. */
  readonly encryptAll = (inputs: readonly EncryptInput[]): Promise<string[]> => {
    this.encrypts += 1
    return Promise.all(inputs.map((input) => this.#encrypt(input)))
  }

  async #encrypt(input: EncryptInput): Promise<string> {
    this.#fail()
    if (this.hang) await new Promise<never>(() => undefined)
    if (this.failEncrypts-- > 0) throw refusal('VAULT_UNAVAILABLE')
    const { keyVersion } = input
    if (keyVersion > this.key.latestVersion) throw refusal('KEY_VERSION_UNKNOWN')
    if (keyVersion < this.key.minEncryptionVersion) throw refusal('KEY_VERSION_DISABLED')
    const nonce = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', this.#material(keyVersion), nonce)
    cipher.setAAD(input.associatedData)
    if (this.padding > 0) return `vault:v${keyVersion}:${'A'.repeat(this.padding + 100)}`
    const sealed = [nonce, cipher.update(input.plaintext), cipher.final(), cipher.getAuthTag()]
    return `vault:v${keyVersion}:${Buffer.concat(sealed).toString('base64')}`
  }

  readonly decrypt = async (input: DecryptInput): Promise<Buffer> => {
    this.decrypts += 1
    this.#fail()
    await this.beforeDecrypt?.()
    return this.#open(input)
  }

  /** One request with several values. */
  readonly decryptAll = async (inputs: readonly DecryptInput[]): Promise<DecryptResult[]> => {
    this.decrypts += 1
    this.#fail()
    await this.beforeDecrypt?.()
    return inputs.map((input) => {
      try {
        return this.#open(input)
      } catch (error) {
        return BridgeError.from(error)
      }
    })
  }

  #open(input: DecryptInput): Buffer {
    if (this.answer !== undefined) return this.answer
    const version = readCiphertextVersion(input.ciphertext) ?? 0
    if (version > this.key.latestVersion) throw refusal('KEY_VERSION_UNKNOWN')
    if (version < this.key.minDecryptionVersion) throw refusal('KEY_VERSION_DISABLED')
    const sealed = Buffer.from(input.ciphertext.split(':')[2] ?? '', 'base64')
    try {
      const nonce = sealed.subarray(0, 12)
      const decipher = createDecipheriv('aes-256-gcm', this.#material(version), nonce, {
        authTagLength: 16,
      })
      decipher.setAuthTag(sealed.subarray(12).subarray(-16))
      decipher.setAAD(input.associatedData ?? Buffer.alloc(0))
      return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()])
    } catch {
      throw refusal('CIPHERTEXT_INVALID')
    }
  }

  #material(version: number): Buffer {
    return createHash('sha256').update(`${this.key.name} ${version}`).digest()
  }

  #fail(): void {
    if (this.bug !== undefined) throw this.bug
    const code = this.faults.shift()
    if (code !== undefined) throw refusal(code)
  }
}

function refusal(code: ErrorCode): BridgeError {
  return new BridgeError(code, `scripted ${code}`)
}

const NO_LOCAL_KEYS: LocalKeysConfig = {
  enabled: false,
  offlineForMs: 4 * 3_600_000,
  maxUses: 1_000_000,
  maxAgeMs: 24 * 3_600_000,
}

export type FixtureOptions = Partial<
  Pick<KeyServiceOptions, 'clusterId' | 'alsoDecryptClusters' | 'acceptVaultKubernetesKms'>
> & {
  readonly key?: TransitKey
  readonly cache?: boolean
  readonly localKeys?: Partial<LocalKeysConfig>
  /** The Vault of another fixture, as after a restart of the plugin. */
  readonly transit?: MemoryTransit
  /** The watch is not started: nothing is known of the key. */
  readonly unreached?: boolean
}

/** A service with its watch over a key in memory; it has read and proven the key. */
export async function serviceFixture(options: FixtureOptions = {}) {
  const { clusterId = 'prod', alsoDecryptClusters = [], acceptVaultKubernetesKms = false } = options
  const clock = new HandClock()
  const transit = options.transit ?? new MemoryTransit(options.key ?? transitKey(1))
  let sealedFileWrites = 0
  const { log, lines } = memoryLog()
  const local = createLocalKeys({
    config: { ...NO_LOCAL_KEYS, ...options.localKeys },
    clusterId,
    keyPath: 'transit/k8s-etcd',
    encrypt: transit.encrypt,
    decrypt: transit.decrypt,
    onSealedFileWritten: () => void (sealedFileWrites += 1),
    isOffline: () => health.needsProof,
    askVault: () => watch.suspect(),
    clock,
    log,
  })
  const health: Health = new Health({
    outageGraceMs: 120_000,
    offlineLeftMs: local.sealing && (() => local.sealing?.offlineLeftMs(watch.snapshot) ?? 0),
    offlineNote: () => local.sealing?.offlineNote,
  })
  const forget = () => {
    cache?.clear()
    local.sealing?.refuse()
  }
  const cache =
    options.cache === true
      ? new DecryptCache({ maxEntries: 8, ttlMs: 3_600_000, clock })
      : undefined
  const proof = new KeyProof({
    transit: {
      encrypt: (_key, inputs) => transit.encryptAll(inputs),
      decrypt: (_key, inputs) => transit.decryptAll(inputs),
    },
    keyName: 'k8s-etcd',
    clusterId,
    onBatchDenied: () => undefined,
  })
  const watch: KeyWatch = new KeyWatch({
    readKey: transit.readKey,
    proveKey: (snapshot, context) => proof.prove(snapshot, context),
    clusters: { clusterId, alsoDecryptClusters },
    refreshIntervalMs: 3_600_000,
    health,
    onRefusal: forget,
    localKeys: local.sealing,
    clock,
    log: memoryLog().log,
    metrics: createKmsMetrics('test'),
  })
  let cacheHits = 0
  const service = new KeyService({
    clusterId,
    alsoDecryptClusters,
    acceptVaultKubernetesKms,
    watch,
    health,
    encrypt: transit.encrypt,
    decrypt: transit.decrypt,
    localKeys: local.sealing,
    ring: local.ring,
    onRefusal: forget,
    cache,
    budget: new ByteBudget({ maxActiveBytes: 1_000_000, maxWaitingBytes: 1_000_000, clock }),
    onCacheHit: () => void (cacheHits += 1),
    clock,
  })
  const restored = await local.sealing?.restore({ clusterId, alsoDecryptClusters })
  if (restored !== undefined) watch.restore(restored)
  if (options.unreached !== true) watch.start()
  await clock.advance(0)
  // Tests look at each of the later checks, so this passes the second after a check in which no other one starts.
  await clock.advance(10_000)
  const counts = () => ({
    reads: transit.reads,
    encrypts: transit.encrypts,
    decrypts: transit.decrypts,
  })
  return {
    clock,
    transit,
    health,
    cache,
    ring: local.ring,
    lines,
    /** How often the sealed file was written. */
    get sealedFileWrites() {
      return sealedFileWrites
    },
    /** Ends the plugin as SIGTERM does. */
    stop: async (callsEnd = Promise.resolve()) => {
      watch.stop()
      await local.sealing?.stop(callsEnd)
    },
    localKeys: local.sealing && {
      hasFile: local.sealing.hasFile,
      get count() {
        return local.ring.size
      },
      get offlineLeftMs() {
        return local.sealing?.offlineLeftMs(watch.snapshot) ?? 0
      },
      get fileFault() {
        return local.sealing?.fileFault
      },
    },
    watch,
    service,
    get cacheHits() {
      return cacheHits
    },
    within: (milliseconds = 3_000): CallContext => ({
      deadline: clock.monotonic() + milliseconds,
    }),
    counts,
    /** What Transit was asked while `work` ran. */
    cost: async (work: () => Promise<unknown>) => {
      const before = counts()
      await work().catch(() => undefined)
      const after = counts()
      return {
        reads: after.reads - before.reads,
        encrypts: after.encrypts - before.encrypts,
        decrypts: after.decrypts - before.decrypts,
      }
    },
  }
}
