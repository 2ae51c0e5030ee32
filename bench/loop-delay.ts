import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Wrap } from '../test/real/program/served-program.ts'
import { writeProbedLauncher } from './probed-launcher.ts'

/** What a program did since the last reading, in milliseconds. */
export interface LoopFigures {
  /** Longest delay of the event loop, which includes the time in which other processes used the processor. */
  readonly delay: number
  /** CPU time of the longest turn of the event loop. */
  readonly turn: number
}

/** Reads monitorEventLoopDelay of a program that runs in another process, which the launcher starts with loop-probe.ts. */
export class LoopDelay {
  readonly #file: string
  readonly #launcher: string

  /** `folder` is for its files. */
  constructor(folder: string) {
    this.#file = join(folder, 'loop-delay')
    this.#launcher = writeProbedLauncher(folder, {
      module: join(import.meta.dirname, 'loop-probe.ts'),
      variable: `LOOP_PROBE_FILE='${this.#file}'`,
    })
  }

  readonly wrap: Wrap = ({ args }) => ({ command: this.#launcher, args })

  /** Returns what happened since the last call. */
  async read(pid: number): Promise<LoopFigures> {
    rmSync(this.#file, { force: true })
    process.kill(pid, 'SIGWINCH')
    for (let waited = 0; !existsSync(this.#file); waited += 1) {
      if (waited === 10_000) throw new Error(`process ${String(pid)} does not report its delay`)
      await sleep(1)
    }
    // After a reset, the monitor measures from the next turn on.
    await sleep(5)
    return JSON.parse(readFileSync(this.#file, 'utf8')) as LoopFigures
  }
}
