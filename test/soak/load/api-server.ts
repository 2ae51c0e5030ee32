import type { KmsClient, WrappedSeed } from '../../real/program/kms-client.ts'
import type { Findings } from '../watch/findings.ts'
import type { HandedOut, HandedOutRecord } from './handed-out.ts'
import type { KeyVersions } from './key-versions.ts'

/** As kube-apiserver sets by default. */
const DEADLINE = { timeout: 3_000 }
/** A plugin that is killed so soon after it announced a key id may not have written it to its sealed file. */
const WRITTEN_AFTER_MS = 5_000

export interface ApiServerOptions {
  readonly name: string
  readonly client: Pick<KmsClient, 'status' | 'encrypt' | 'decrypt'>
  readonly handedOut: HandedOut
  readonly versions: Pick<KeyVersions, 'latest' | 'versionOf'>
  readonly findings: Findings
}

/** Calls a plugin as an API server does, and checks everything that it returns. */
export class ApiServer {
  readonly #options: ApiServerOptions
  /** The versions that the plugin announced, each with the time of its first announcement; the last one is the newest. */
  #announced: { readonly version: number; readonly atMs: number }[] = []

  constructor(options: ApiServerOptions) {
    this.#options = options
  }

  get announcedVersion(): number {
    return this.#announced.at(-1)?.version ?? 0
  }

  /** Returns healthz, and checks that the key id is not an older one than before. */
  async status(): Promise<string> {
    const before = this.announcedVersion
    const { healthz, keyId } = await this.#options.client.status(DEADLINE)
    // Before the first answer of Vault it announces none.
    if (keyId !== '') await this.#checkKeyId(keyId, before)
    return healthz
  }

  /** Encrypts the value of an object of the store. */
  async encrypt(object: number): Promise<void> {
    const { handedOut, client } = this.#options
    const number = handedOut.nextPlaintext()
    const before = this.announcedVersion
    const seed = await client.encrypt(handedOut.plaintexts.make(number), DEADLINE)
    const version = await this.#checkKeyId(seed.keyId, before)
    handedOut.add(number, seed, version, object)
  }

  async decrypt({ seed, plaintext }: HandedOutRecord): Promise<void> {
    const { handedOut, findings, name } = this.#options
    const returned = await this.decryptSeed(seed)
    if (returned.equals(handedOut.plaintexts.make(plaintext))) return
    findings.add('wrong plaintext', `${name}: record ${String(plaintext)}`)
  }

  decryptSeed(seed: WrappedSeed): Promise<Buffer> {
    return this.#options.client.decrypt(seed, DEADLINE)
  }

  /** Whether Status is ok with the latest key id, and new and old data decrypts. Rejects if a call fails. */
  async works(object: number): Promise<boolean> {
    const { handedOut, versions } = this.#options
    const healthz = await this.status()
    if (healthz !== 'ok' || this.announcedVersion !== versions.latest) return false
    await this.encrypt(object)
    for (const record of [handedOut.ofObject(object), handedOut.ofObject(object + 1)])
      if (record !== undefined) await this.decrypt(record)
    return true
  }

  /** The plugin was killed: after an outage, it may announce what its sealed file has. */
  forgetUnwritten(): void {
    const limit = performance.now() - WRITTEN_AFTER_MS
    this.#announced = this.#announced.filter(({ atMs }) => atMs < limit)
  }

  async #checkKeyId(keyId: string, before: number): Promise<number> {
    const { versions, findings, name } = this.#options
    const atMs = performance.now()
    const version = await versions.versionOf(keyId)
    if (version === undefined) {
      findings.add('key id', `${name}: unknown key id ${JSON.stringify(keyId)}`)
      return 0
    }
    if (version < before)
      findings.add('key id', `${name}: version ${String(version)} after ${String(before)}`)
    if (version > this.announcedVersion) this.#announced.push({ version, atMs })
    return version
  }
}
