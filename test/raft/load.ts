import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { WrappedSeed } from '../real/program/kms-client.ts'
import type { Plugin } from '../real/program/plugin.ts'
import { Tally } from './tally.ts'

/** A call begins each time, whether or not earlier ones have ended, as an API server's do. */
const PAUSE_MS = 40
const STATUS_PAUSE_MS = 100
/** Of so many latest seeds one is decrypted. */
const MAX_AGE = 40
/** kube-apiserver's default, and a longer one. */
const DEADLINES_MS = [3_000, 10_000] as const

/** An API server: encrypts DEK seeds, decrypts earlier ones, and asks for Status. */
export class KmsLoad {
  readonly tally = new Tally()
  /** Own seeds. */
  readonly seeds: [Buffer, WrappedSeed][] = []
  /** Whether an older key id came after a newer one, or a wrong plaintext; in words. */
  readonly wrong: string[] = []
  notOkMs = 0
  readonly #plugin: Plugin
  /** Seeds of all plugins of the cluster, which each of them decrypts. */
  readonly #all: [Buffer, WrappedSeed][]
  readonly #versions = new Map<string, number>()
  #newest = 0
  #isOver = false

  constructor(plugin: Plugin, all: [Buffer, WrappedSeed][]) {
    this.#plugin = plugin
    this.#all = all
  }

  async run(fault: () => Promise<void>): Promise<void> {
    for (let count = 0; count < 4; count += 1) await this.#encrypt(10_000)
    const loops = [this.#startCalls(), this.#repeatStatus()]
    try {
      await fault()
    } finally {
      this.#isOver = true
      await Promise.all(loops)
    }
  }

  async #startCalls(): Promise<void> {
    const calls: Promise<void>[] = []
    for (let count = 0; !this.#isOver; count += 1) {
      const deadlineMs = DEADLINES_MS[Math.floor(count / 2) % 2] ?? 0
      const call = count % 2 === 0 ? 'encrypt' : 'decrypt'
      const work = () =>
        call === 'encrypt' ? this.#encrypt(deadlineMs) : this.#decrypt(deadlineMs)
      calls.push(this.tally.count(call, deadlineMs, work))
      await sleep(PAUSE_MS)
    }
    await Promise.all(calls)
  }

  /** A key id that is older than one that was seen before this call began is wrong. */
  async #encrypt(timeout: number): Promise<void> {
    const seed = randomBytes(32)
    const newest = this.#newest
    const wrapped = await this.#plugin.client.encrypt(seed, { timeout })
    this.seeds.push([seed, wrapped])
    this.#all.push([seed, wrapped])
    const version = Number(/^vault:v(\d+):/.exec(Buffer.from(wrapped.ciphertext).toString())?.[1])
    this.#versions.set(wrapped.keyId, version)
    this.#note(version, newest, 'Encrypt')
  }

  #note(version: number, newest: number, where: string): void {
    if (version < newest)
      this.wrong.push(`${where} with version ${String(version)} after version ${String(newest)}`)
    this.#newest = Math.max(this.#newest, version)
  }

  async #decrypt(timeout: number): Promise<void> {
    const age = Math.floor(Math.random() * MAX_AGE)
    const chosen = this.#all.at(-1 - age) ?? this.#all[0]
    if (chosen === undefined) throw new Error('nothing was encrypted')
    const [seed, wrapped] = chosen
    const plaintext = await this.#plugin.client.decrypt(wrapped, { timeout })
    if (!plaintext.equals(seed)) this.wrong.push('Decrypt with a wrong plaintext')
  }

  async #repeatStatus(): Promise<void> {
    let lastAt = performance.now()
    while (!this.#isOver) {
      const newest = this.#newest
      const { healthz, keyId } = await this.#plugin.client.status({ timeout: 10_000 })
      const now = performance.now()
      if (healthz !== 'ok') this.notOkMs += now - lastAt
      lastAt = now
      const version = this.#versions.get(keyId)
      if (version !== undefined) this.#note(version, newest, 'Status')
      await sleep(STATUS_PAUSE_MS)
    }
  }
}
