import { write } from 'node:fs'

import { escapeLines } from '../text/one-line.ts'

/** Maximum size of the lines that wait to be written: enough for one burst at level debug. */
const MAX_WAITING_BYTES = 1024 * 1024
/** Written at once; lines that come meanwhile wait. */
const MAX_WRITE_BYTES = 64 * 1024
/** A pipe that is full is tried again after this time. */
const RETRY_MS = 50
const STANDARD_OUTPUT = 1

export interface LogSinkOptions {
  /** Default: standard output. */
  readonly descriptor?: number | undefined
  /** Called with the number of lines that were dropped just now. */
  readonly onDropped?: ((lines: number) => void) | undefined
}

/**
 * Where log lines go. It never blocks, never throws and never keeps the process alive or from ending: lines wait in a
 * bounded queue, and lines that cannot be written are dropped and counted (docs/design.md, "Log").
 */
export class LogSink {
  readonly #descriptor: number
  readonly #onDropped: (lines: number) => void
  #waiting: string[] = []
  #waitingBytes = 0
  #isWriting = false
  /** Whether the last write ended within a line. */
  #isTorn = false
  #onIdle: (() => void)[] = []

  constructor({ descriptor = STANDARD_OUTPUT, onDropped = () => undefined }: LogSinkOptions = {}) {
    this.#descriptor = descriptor
    this.#onDropped = onDropped
  }

  /**
   * Takes one line of JSON, which ends with a newline. All other control characters in it are escaped, because `kubectl logs`
   * would print them.
   */
  write(text: string): void {
    const line = escapeLines(text)
    const bytes = Buffer.byteLength(line)
    if (this.#waitingBytes + bytes > MAX_WAITING_BYTES) {
      this.#onDropped(1)
      return
    }
    this.#waiting.push(line)
    this.#waitingBytes += bytes
    if (!this.#isWriting) this.#writeNext()
  }

  /** Resolves when all lines are written or dropped, or after `limitMs`. */
  flush(limitMs: number): Promise<void> {
    if (!this.#isWriting) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, limitMs)
      this.#onIdle.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  #writeNext(): void {
    const lines = this.#takeLines()
    this.#isWriting = lines.length > 0
    if (!this.#isWriting) {
      for (const resolve of this.#onIdle.splice(0)) resolve()
      return
    }
    const text = lines.join('')
    this.#writeBytes(Buffer.from(this.#isTorn ? `\n${text}` : text), lines.length)
  }

  #takeLines(): string[] {
    let bytes = 0
    let count = 0
    while (count < this.#waiting.length && (count === 0 || bytes < MAX_WRITE_BYTES)) {
      bytes += Buffer.byteLength(this.#waiting[count] ?? '')
      count += 1
    }
    this.#waitingBytes -= bytes
    return this.#waiting.splice(0, count)
  }

  #writeBytes(bytes: Buffer, lines: number): void {
    write(this.#descriptor, bytes, (error, written) => {
      if (error !== null && (error.code === 'EAGAIN' || error.code === 'EINTR')) {
        setTimeout(() => this.#writeBytes(bytes, lines), RETRY_MS).unref()
        return
      }
      if (error === null && written > 0) this.#isTorn = bytes[written - 1] !== NEWLINE
      if (error === null && written < bytes.length) {
        this.#writeBytes(bytes.subarray(written), lines)
        return
      }
      if (error !== null) this.#onDropped(lines)
      this.#writeNext()
    })
  }
}

const NEWLINE = 0x0a
