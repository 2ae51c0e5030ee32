import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { KmsCallError, type WrappedSeed } from '../test/real/program/kms-client.ts'
import type { Plugin } from '../test/real/program/plugin.ts'

/** How many of the latest seeds are kept. */
const MAX_SEEDS = 400
const PAUSE_MS = 10
const STATUS_PAUSE_MS = 50

export interface Figures {
  calls: number
  failed: number
  /** Failed calls whose message does not say what happened to Vault. */
  withoutReason: number
  /** Longest time in which no call succeeded. */
  longestGapSeconds: number
  /** Time in which Status was not "ok" or did not answer. */
  notOkSeconds: number
  wrongPlaintexts: number
  /** Ciphertexts that a new process of the same build cannot decrypt afterwards. */
  lost: number
}

export interface LoadOptions {
  readonly callers: number
  readonly deadlineMs: number
  /** How long before the fault the load starts, and how long after it the load ends. */
  readonly marginMs: number
  /** The time over which the first calls of the callers are spread. */
  readonly spreadMs: number
}

/** Callers that encrypt a DEK seed and decrypt an earlier one, again and again, and one that asks for Status. */
export class OutageLoad {
  readonly seeds: [Buffer, WrappedSeed][] = []
  readonly #plugin: Plugin
  readonly #options: LoadOptions
  readonly #figures: Figures = {
    calls: 0,
    failed: 0,
    withoutReason: 0,
    longestGapSeconds: 0,
    notOkSeconds: 0,
    wrongPlaintexts: 0,
    lost: 0,
  }
  #succeededAt = 0
  #isOver = false

  constructor(plugin: Plugin, options: LoadOptions) {
    this.#plugin = plugin
    this.#options = options
  }

  /** Runs the load while the fault happens. */
  async run(fault: () => Promise<void>): Promise<Figures> {
    for (let count = 0; count < 8; count += 1) await this.#encrypt()
    this.#succeededAt = performance.now()
    const callers = Array.from({ length: this.#options.callers }, () => this.#repeatCalls())
    const loops = [...callers, this.#repeatStatus()]
    try {
      await sleep(this.#options.marginMs)
      await fault()
      await sleep(this.#options.marginMs)
    } finally {
      this.#isOver = true
      await Promise.all(loops)
    }
    this.#noteGap()
    return this.#figures
  }

  async #repeatCalls(): Promise<void> {
    await sleep(Math.random() * this.#options.spreadMs)
    while (!this.#isOver) {
      await this.#count(() => this.#encrypt())
      await this.#count(() => this.#decrypt())
      await sleep(PAUSE_MS)
    }
  }

  async #encrypt(): Promise<void> {
    const seed = randomBytes(32)
    const timeout = this.#options.deadlineMs
    this.seeds.push([seed, await this.#plugin.client.encrypt(seed, { timeout })])
    if (this.seeds.length > MAX_SEEDS) this.seeds.shift()
  }

  async #decrypt(): Promise<void> {
    const chosen = this.seeds[Math.floor(Math.random() * this.seeds.length)]
    if (chosen === undefined) return
    const [seed, wrapped] = chosen
    const plaintext = await this.#plugin.client.decrypt(wrapped, {
      timeout: this.#options.deadlineMs,
    })
    if (!plaintext.equals(seed)) this.#figures.wrongPlaintexts += 1
  }

  async #count(call: () => Promise<void>): Promise<void> {
    this.#figures.calls += 1
    try {
      await call()
      this.#noteGap()
      this.#succeededAt = performance.now()
    } catch (error) {
      this.#figures.failed += 1
      if (!hasReason(error)) this.#figures.withoutReason += 1
    }
  }

  #noteGap(): void {
    const gapSeconds = (performance.now() - this.#succeededAt) / 1000
    this.#figures.longestGapSeconds = Math.max(this.#figures.longestGapSeconds, gapSeconds)
  }

  async #repeatStatus(): Promise<void> {
    let lastAt = performance.now()
    while (!this.#isOver) {
      const isOk = await isHealthy(this.#plugin)
      const now = performance.now()
      if (!isOk) this.#figures.notOkSeconds += (now - lastAt) / 1000
      lastAt = now
      await sleep(STATUS_PAUSE_MS)
    }
  }
}

export async function isHealthy(plugin: Plugin): Promise<boolean> {
  try {
    return (await plugin.client.status()).healthz === 'ok'
  } catch {
    return false
  }
}

/** The program names Vault in every message about an outage or a refusal; gRPC's own messages do not. */
function hasReason(error: unknown): boolean {
  return error instanceof KmsCallError && /vault/i.test(error.message)
}
