import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Plugin } from '../test/real/program/plugin.ts'
import type { Wrap } from '../test/real/program/served-program.ts'
import type { KmsVault } from '../test/real/vault/kms-vault.ts'
import { isHealthy, OutageLoad, type Figures, type LoadOptions } from './outage-load.ts'

const LOAD: LoadOptions = { callers: 8, deadlineMs: 3_000, marginMs: 1_000, spreadMs: 0 }
const RECOVERY_MS = 20_000
const EXIT_MS = 30_000

/** One fault at one build: the figures of the load, if there was one, and what else was seen. */
export interface Result {
  readonly figures?: Figures
  readonly note?: string | undefined
  /** Whether it could not be measured. */
  readonly failed?: boolean
}

export interface Situation {
  readonly vault: KmsVault
  readonly address?: string | string[]
  readonly load?: Partial<LoadOptions>
  readonly logLevel?: string
  /** What is measured at the end; returns what was seen, in words. */
  readonly atEnd?: (plugin: Plugin) => Promise<string>
  /** Changes the command line, so that the program runs in another environment. */
  readonly wrap?: Wrap
}

/** A build of the program. */
export class Subject {
  readonly name: string
  readonly #program: string | undefined

  /** @param program a launcher; default: this tree's build */
  constructor(name: string, program?: string) {
    this.name = name
    this.#program = program
  }

  async start({ vault, address, logLevel = 'info', wrap }: Situation): Promise<Plugin> {
    const document = {
      ...vault.configuration(address),
      kms: { refreshInterval: '2s' },
      log: { level: logLevel },
    }
    const plugin = await Plugin.launch(document, (line) => {
      const chosen = this.#program === undefined ? line : { ...line, command: this.#program }
      return wrap === undefined ? chosen : wrap(chosen)
    })
    await plugin.waitForSocket()
    await plugin.waitForHealth('ok')
    return plugin
  }

  /** Runs the load while `fault` happens, waits for the recovery, and counts what was lost. */
  async measure(
    situation: Situation,
    fault: (plugin: Plugin) => Promise<string | undefined | void>,
  ): Promise<Result> {
    const plugin = await this.start(situation)
    try {
      const notes: string[] = []
      const load = new OutageLoad(plugin, { ...LOAD, ...situation.load })
      const figures = await load.run(async () => {
        notes.push((await fault(plugin)) ?? '')
      })
      if (!plugin.program.running) notes.push('the process ended')
      else if (!(await recovers(plugin)))
        notes.push(`not ok ${String(RECOVERY_MS / 1000)} s after the fault`)
      if (situation.atEnd !== undefined) notes.push(await situation.atEnd(plugin))
      figures.lost = await this.#countLost(situation, load)
      return { figures, note: notes.filter((note) => note !== '').join('; ') }
    } finally {
      await end(plugin)
    }
  }

  async #countLost({ vault }: Situation, { seeds }: OutageLoad): Promise<number> {
    const successor = await this.start({ vault })
    let lost = 0
    for (const [seed, wrapped] of seeds) {
      const plaintext = await successor.client.decrypt(wrapped).catch(() => undefined)
      if (plaintext?.equals(seed) !== true) lost += 1
    }
    await end(successor)
    return lost
  }
}

async function recovers(plugin: Plugin): Promise<boolean> {
  const endsAt = performance.now() + RECOVERY_MS
  while (performance.now() < endsAt) {
    if (await isHealthy(plugin)) return true
    await sleep(100)
  }
  return false
}

/** Sends SIGTERM; returns how long the process took to exit, in words. */
export async function timeExit(plugin: Plugin): Promise<string> {
  const startedAt = performance.now()
  const { signal } = await plugin.program.terminate({ graceMs: EXIT_MS })
  return signal === 'SIGKILL'
    ? `had to be killed ${String(EXIT_MS / 1000)} s after SIGTERM`
    : `exits ${((performance.now() - startedAt) / 1000).toFixed(1)} s after SIGTERM`
}

/** A client that connects and then neither reads, writes nor closes. */
export async function openSilently(target: string | number): Promise<Socket> {
  const socket = typeof target === 'string' ? connect(target) : connect(target, '127.0.0.1')
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

export async function end(plugin: Plugin): Promise<void> {
  plugin.client.close()
  await plugin.program.terminate({ graceMs: 5_000 })
}
