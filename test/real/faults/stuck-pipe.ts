import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { fill } from './full-file-system.ts'

const DRAIN_EVERY_MS = 20

/** A named pipe whose reader this process is. It can stop reading, so that a writer has to wait. */
export class StuckPipe {
  readonly path: string
  readonly #reader: number
  readonly #buffer = Buffer.alloc(65_536)
  #timer: NodeJS.Timeout | undefined

  constructor(path: string) {
    this.path = path
    execFileSync('mkfifo', [path])
    this.#reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  }

  /** Reads no more, and leaves no room for a byte. */
  block(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    fill(this.#reader)
  }

  /** Reads and discards everything, until the next {@link block}. */
  drain(): void {
    this.#read()
    this.#timer ??= setInterval(() => this.#read(), DRAIN_EVERY_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    closeSync(this.#reader)
  }

  #read(): void {
    try {
      while (readSync(this.#reader, this.#buffer) > 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  }
}
