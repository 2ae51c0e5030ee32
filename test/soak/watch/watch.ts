import { lstatSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findSecret } from '../../real/program/told-secrets.ts'
import { LogWatch, type LogCounts } from './log-watch.ts'
import type { Level } from './resource-level.ts'
import { UsageWatch } from './usage-watch.ts'
import type { World } from '../members/world.ts'

const LOG_MS = 1_000
const SAMPLE_EVERY = 3
const MAX_AUDIT_BYTES = 32 * 1024 * 1024
const PAGES = ['/metrics', '/readyz', '/readyz?format=json']

/** Looks at all programs while they run: their logs, and what they use. */
export class Watch {
  readonly #world: World
  readonly #logs: readonly LogWatch[]
  readonly #usages: readonly UsageWatch[]

  constructor(world: World) {
    const { members, findings } = world
    this.#world = world
    this.#logs = members.map(
      ({ name, program }) => new LogWatch(name, program.program.outputFile, findings),
    )
    this.#usages = members.map((member) => new UsageWatch(member, findings))
  }

  get logs(): LogCounts {
    const sum: LogCounts = { lines: 0, warnings: 0, errors: 0 }
    for (const { counts } of this.#logs)
      for (const name of ['lines', 'warnings', 'errors'] as const) sum[name] += counts[name]
    return sum
  }

  async run(signal: AbortSignal): Promise<void> {
    for (let round = 0; !signal.aborted; round += 1) {
      for (const log of this.#logs) log.read()
      if (round % SAMPLE_EVERY === 0) {
        await Promise.all(this.#usages.map((usage) => usage.sample()))
        this.#shortenAudit()
      }
      await sleep(LOG_MS)
    }
  }

  judge(): readonly { readonly name: string; readonly levels: readonly Level[] }[] {
    return this.#world.members.map(({ name }, at) => ({
      name,
      levels: this.#usages[at]?.judge() ?? [],
    }))
  }

  /** What the admin servers show must contain no secret, either. */
  async readPages(): Promise<void> {
    for (const { name, program } of this.#world.members)
      for (const page of PAGES) {
        const { text } = await program.admin(page)
        const secret = findSecret(text)
        if (secret !== undefined) this.#world.findings.add('secret', `${name} ${page}: ${secret}`)
      }
  }

  /** Reads what was written until the programs ended. */
  finish(): void {
    for (const log of this.#logs) log.readToEnd()
  }

  /** OpenBao appends to the file, so it continues at its new end. */
  #shortenAudit(): void {
    const path = join(this.#world.pods.bao.dir, 'audit.log')
    const file = lstatSync(path, { throwIfNoEntry: false })
    // While the device is blocked, it is a pipe.
    if (file?.isFile() === true && file.size > MAX_AUDIT_BYTES) truncateSync(path)
  }
}
