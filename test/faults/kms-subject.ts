import { randomBytes } from 'node:crypto'
import type { Plugin } from '../real/program/plugin.ts'
import type { WrappedSeed } from '../real/program/kms-client.ts'
import { answerOf, OK, type Answer, type HealthReport, type Subject } from './subject.ts'

const DEADLINE_MS = 3_000
const BATCH = 16

export type KmsPlace = 'refresh' | 'encrypt' | 'decrypt' | 'batch'

/** The KMS plugin, as an API server uses it. */
export class KmsSubject implements Subject {
  readonly program: Plugin
  readonly #place: KmsPlace
  readonly #seeds: [Buffer, WrappedSeed][] = []

  constructor(program: Plugin, place: KmsPlace) {
    this.program = program
    this.#place = place
  }

  async prepare(): Promise<void> {
    await this.program.waitForHealth('ok')
    for (let count = 0; count < BATCH; count += 1) await this.#encrypt()
  }

  /** The admin server closes a connection that is idle for 10 s, so this comes just before a fault. */
  readonly connect = async (): Promise<void> => {
    await this.program.waitForHealth('ok')
    await this.program.admin('/readyz')
  }

  readonly call = async (): Promise<readonly Answer[]> => {
    switch (this.#place) {
      case 'refresh':
        return [await answerOf(() => this.#status())]
      case 'encrypt':
        return [await answerOf(() => this.#encrypt())]
      case 'decrypt':
        return [await answerOf(() => this.#decrypt(this.#seeds.at(-1)))]
      case 'batch':
        return Promise.all(
          this.#seeds.slice(-BATCH).map((seed) => answerOf(() => this.#decrypt(seed))),
        )
    }
  }

  /** A plugin that can open no file accepts no connection to its admin server, so the reason is that of its log. */
  async health(): Promise<HealthReport> {
    const { healthz } = await this.program.client.status({ timeout: DEADLINE_MS })
    return { reason: healthz === 'ok' ? 'ok' : this.#loggedReason(), message: healthz }
  }

  async checkedAgoMs(): Promise<number> {
    const { text } = await this.program.admin('/readyz?format=json')
    const { details } = JSON.parse(text) as { details: { snapshotAgeSeconds?: number } }
    return (details.snapshotAgeSeconds ?? Infinity) * 1000
  }

  #loggedReason(): string {
    const line = this.program
      .logLines()
      .findLast(({ msg }) => String(msg).startsWith('unhealthy: '))
    return String(line?.['reason'])
  }

  async checkAll(): Promise<void> {
    for (const seed of this.#seeds) await this.#decrypt(seed)
  }

  stop(): Promise<number | null> {
    return this.program.stop()
  }

  async #status(): Promise<Answer> {
    const { healthz } = await this.program.client.status({ timeout: DEADLINE_MS })
    return { code: 'OK', message: healthz }
  }

  async #encrypt(): Promise<Answer> {
    const seed = randomBytes(32)
    this.#seeds.push([seed, await this.program.client.encrypt(seed, { timeout: DEADLINE_MS })])
    return OK
  }

  async #decrypt(known: [Buffer, WrappedSeed] | undefined): Promise<Answer> {
    if (known === undefined) throw new Error('nothing was encrypted')
    const [seed, wrapped] = known
    const plaintext = await this.program.client.decrypt(wrapped, { timeout: DEADLINE_MS })
    if (!plaintext.equals(seed)) throw new Error('Decrypt returned a wrong plaintext')
    return OK
  }
}
