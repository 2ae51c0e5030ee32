import type { CallContext } from '../../call-context.ts'
import type { LocalKeysConfig } from '../../config/config.ts'
import type { Envelope } from '../../seed/envelope.ts'
import type { KeySnapshot } from '../../seed/key-snapshot.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { Clock } from '../../time/clock.ts'
import type { DecryptInput, EncryptInput } from '../../transit/transit.ts'
import { makeSnapshot, type ClusterIds } from '../../seed/key-snapshot.ts'
import { explainFileError } from '../../files/system-error.ts'
import { describeDuration } from '../../time/duration.ts'
import { readMoment, timeBetween, type Moment } from '../../time/boot-time.ts'
import { LocalKeyRing, MAX_KEYS, type RingNote } from './ring.ts'
import { SealedFile } from './sealed-file.ts'
import { wipeLocalKeys, type OfflineState } from './sealed-format.ts'
import { StateKeeper } from './state-keeper.ts'
import { LocalKeys } from './own-keys.ts'
import { OfflineLimit, type OfflineLimitOptions } from './offline-limit.ts'
import { OfflineReport } from './offline-report.ts'
import { SharedKey } from './shared-key.ts'

export interface LocalKeysSetup {
  readonly config: LocalKeysConfig
  readonly clusterId: string
  /** Encrypts with Transit. */
  readonly encrypt: (input: EncryptInput, context: CallContext) => Promise<string>
  /** Decrypts with Transit; the receiver owns and zeroes the plaintext. */
  readonly decrypt: (input: DecryptInput, context: CallContext) => Promise<Buffer>
  /** The key with its mount and namespace, which a sealed file belongs to. */
  readonly keyPath: string
  readonly onSealedFileWritten: () => void
  /** Whether Vault has not answered since a failure, or since the start. */
  readonly isOffline: () => boolean
  readonly askVault: OfflineLimitOptions['askVault']
  readonly clock: Clock
  readonly log: Logger
}

export interface LocalKeysParts {
  /** Always present: data that local keys encrypted stays readable after kms.localKeys was turned off. */
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
    askVault: setup.askVault,
    onEncryptEnd: () => report.endEncrypt(),
    onEnd: (end) => {
      report.end(end)
      sealing.clear()
    },
    clock,
  })
  const ring = new LocalKeyRing({
    ...setup,
    mayUse: () => limit.mayDecrypt,
    onChange: () => sealing.keep(),
    onOpened: (note) => sealing.noteRead(note),
  })
  const count = () => ring.size
  const { sealedFile } = config
  const report = new OfflineReport({ ...setup, limit, count, sealedFile })
  const sealing = new LocalSealing({ ...setup, ring, limit, report, file: createFile(setup) })
  return { ring, sealing }
}

function createFile({ config, clusterId, keyPath, log }: LocalKeysSetup): SealedFile | undefined {
  const { sealedFile: path, nodeKeyFile } = config
  if (path === undefined || nodeKeyFile === undefined) return undefined
  return new SealedFile({ path, nodeKeyFile, owner: { clusterId, keyPath }, log })
}

interface LocalSealingOptions extends LocalKeysSetup {
  readonly ring: LocalKeyRing
  readonly limit: OfflineLimit
  readonly report: OfflineReport
  readonly file: SealedFile | undefined
}

/**
 * Encrypts DEK seeds with local keys (kms.localKeys; docs/design.md, "Local keys"). Vault decides for how long: the key watch
 * reports each check that passed and each refusal.
 */
export class LocalSealing {
  readonly #options: LocalSealingOptions
  readonly #keys: LocalKeys
  readonly #shared: SharedKey
  readonly #keeper: StateKeeper | undefined
  #snapshot: KeySnapshot | undefined
  #agreedAt: Moment | undefined

  constructor(options: LocalSealingOptions) {
    this.#options = options
    this.#shared = new SharedKey(options.ring)
    this.#keys = new LocalKeys({ ...options, onUse: (note) => this.#shared.noteUse(note) })
    const { file, config, clock } = options
    this.#keeper =
      file &&
      new StateKeeper({
        file,
        collect: () => this.#collect(),
        offlineForMs: config.offlineForMs,
        onWritten: options.onSealedFileWritten,
        clock,
      })
  }

  /** Whether kms.localKeys.sealedFile is set. */
  get hasFile(): boolean {
    return this.#options.file !== undefined
  }

  /** Why the sealed file cannot be used, or could not be written or removed. */
  get fileFault(): string | undefined {
    return this.#options.file?.fault?.text
  }

  /** Why local keys are of no more help without Vault; undefined while they are, or if there were none. */
  get offlineNote(): string | undefined {
    return this.#options.report.note
  }

  /**
   * Reads the sealed file, for a start without Vault. Returns the key as Vault last described it, or undefined if the file
   * cannot be used. Never throws.
   */
  async restore(clusters: ClusterIds): Promise<KeySnapshot | undefined> {
    const { file, report } = this.#options
    if (file === undefined) return undefined
    const state = (await file.mayLoad()) ? await file.load() : undefined
    if (state === undefined) {
      if (file.fault !== undefined) return undefined
      file.miss()
      report.missFile()
      return undefined
    }
    try {
      return this.#restore(file, state, clusters)
    } finally {
      // Local keys that are in use were copied.
      wipeLocalKeys(state)
    }
  }

  #restore(file: SealedFile, state: OfflineState, clusters: ClusterIds): KeySnapshot | undefined {
    const { limit, ring, clock, report } = this.#options
    const now = this.#readMoment()
    if (now === undefined) return undefined
    const ageMs = timeBetween(state.agreedAt, now)
    if (ageMs === undefined) {
      file.reject(
        'the clock of this node is behind the time at which the file was written, so its age is unknown; it is ignored until Vault answers',
      )
      return undefined
    }
    limit.restore(ageMs)
    if (!limit.mayDecrypt) {
      file.reject(
        `Vault last answered ${describeDuration(ageMs)} ago, longer than kms.localKeys.offlineFor allows; the file is ignored until Vault answers`,
      )
      return undefined
    }
    for (const { key, isOwn, isShared, ...note } of state.localKeys) {
      ring.add(note, key)
      if (isShared === true) this.#shared.noteRead(note)
      if (isOwn) this.#keys.restore({ ...note, key: Buffer.from(key) })
    }
    this.#agreedAt = state.agreedAt
    this.#snapshot = makeSnapshot(state.key, clusters, clock.monotonic() - ageMs)
    report.restore()
    return this.#snapshot
  }

  /** Creates the local key for a snapshot if there is none or it is due. Throws if Vault does not encrypt it. */
  prepare(snapshot: KeySnapshot, context: CallContext): Promise<void> {
    return this.#keys.prepare(snapshot, context)
  }

  /** The snapshot is announced: local keys of other key ids no longer encrypt, and those of lost versions no longer decrypt. */
  announce(snapshot: KeySnapshot): void {
    this.#snapshot = snapshot
    this.#keys.retain(snapshot)
    // What Vault no longer decrypts must not come back after a restart.
    if (this.#options.ring.retain(snapshot)) this.#keeper?.forget()
  }

  /** A check passed. */
  agree(): void {
    this.#options.limit.agree()
    this.#options.report.agree()
    if (this.#keeper === undefined) return
    this.#agreedAt = this.#readMoment()
    this.#keeper.agree()
  }

  /** Vault refused: every local key is zeroed. */
  refuse(): void {
    this.#options.limit.refuse()
  }

  /**
   * A check failed without a refusal. Local keys that were created since Vault last agreed have no time limit, so they are
   * zeroed.
   */
  missVault(): void {
    const { limit, ring, report } = this.#options
    if (limit.ageMs === undefined) {
      this.#keys.clear()
      ring.clear()
    }
    report.missVault()
  }

  /** The local keys changed. */
  keep(): void {
    this.#keeper?.change()
  }

  /** Zeroes all local keys and removes the sealed file, after a refusal or when the time without Vault is over. */
  clear(): void {
    this.#agreedAt = undefined
    this.#keys.clear()
    this.#shared.clear()
    this.#options.ring.clear()
    this.#keeper?.forget()
  }

  /** Writes the sealed file for the last time, and again if calls that were in flight have added local keys. */
  async stop(callsEnd: Promise<unknown>): Promise<void> {
    await this.#keeper?.stop(callsEnd)
  }

  /**
   * An API server read data under a local key. The newest key of this plugin does not count: the command round-trip and doctor
   * read what it has just encrypted.
   */
  noteRead(note: RingNote): void {
    if (note.keyId === this.#snapshot?.keyId && !this.#keys.isOwn(note)) this.#shared.noteRead(note)
  }

  async seal(seed: Uint8Array, snapshot: KeySnapshot, context: CallContext): Promise<Envelope> {
    return this.#sealShared(seed, snapshot) ?? this.#keys.seal(seed, snapshot, context)
  }

  /** The same without Vault; undefined if there is no local key that may be used. */
  sealNow(seed: Uint8Array, snapshot: KeySnapshot, context: CallContext): Envelope | undefined {
    return this.#sealShared(seed, snapshot) ?? this.#keys.sealNow(seed, snapshot, context)
  }

  /** During an outage, other plugins must be able to decrypt without Vault what this one encrypts. */
  #sealShared(seed: Uint8Array, snapshot: KeySnapshot): Envelope | undefined {
    const mayShare = this.#options.isOffline() && this.#keys.canSeal(snapshot)
    return mayShare ? this.#shared.seal(seed, snapshot.keyId) : undefined
  }

  /** Milliseconds for which DEK seeds can be encrypted without Vault; 0 if they cannot. */
  offlineLeftMs(snapshot: KeySnapshot | undefined): number {
    if (snapshot === undefined || !this.#keys.canSeal(snapshot)) return 0
    return this.#options.limit.encryptLeftMs
  }

  /** Undefined without procfs: the age of the file would be unknown, so it is not used. Nothing else depends on the time. */
  #readMoment(): Moment | undefined {
    try {
      return readMoment()
    } catch (error) {
      const why = explainFileError(error)
      this.#options.file?.reject(
        `the time since the boot cannot be read from /proc (${why}), so the file is neither used nor written`,
      )
      return undefined
    }
  }

  #collect(): OfflineState | undefined {
    const { ring, limit } = this.#options
    if (this.#snapshot === undefined || this.#agreedAt === undefined || !limit.mayDecrypt)
      return undefined
    // The ring may have evicted a local key that encrypts: encrypting does not look it up there.
    const isShared = (note: RingNote) => this.#shared.isSame(note)
    const own = this.#keys
      .list()
      .map((each) => ({ ...each, isOwn: true, isShared: isShared(each) }))
    const isOwn = ({ ciphertext }: RingNote) => own.some((each) => each.ciphertext === ciphertext)
    const others = ring.list().map((each) => ({ ...each, isOwn: false, isShared: isShared(each) }))
    // A start must be able to keep all of them. The ring lists the one first that it would evict first.
    const foreign = others.filter((each) => !isOwn(each))
    const excess = Math.max(0, foreign.length + own.length - MAX_KEYS)
    const localKeys = [...foreign.slice(excess), ...own]
    for (const { key } of [...others.filter(isOwn), ...foreign.slice(0, excess)]) key.fill(0)
    return { key: this.#snapshot.key, agreedAt: this.#agreedAt, localKeys }
  }
}
