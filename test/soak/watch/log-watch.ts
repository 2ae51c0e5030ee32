import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { findSecret } from '../../real/program/told-secrets.ts'
import type { Findings } from './findings.ts'

const MAX_PIECE_BYTES = 1024 * 1024

export interface LogCounts {
  lines: number
  warnings: number
  errors: number
}

/** Reads what a program writes to its log, piece by piece. No line may be of a crash, or contain a secret. */
export class LogWatch {
  readonly counts: LogCounts = { lines: 0, warnings: 0, errors: 0 }
  readonly #name: string
  readonly #path: string
  readonly #findings: Findings
  #offset = 0
  #rest = ''

  constructor(name: string, path: string, findings: Findings) {
    this.#name = name
    this.#path = path
    this.#findings = findings
  }

  /** Reads what was added since the last time, a piece of it at most; returns whether there is more. */
  read(): boolean {
    const file = openSync(this.#path, 'r')
    try {
      const { size } = fstatSync(file)
      const bytes = Buffer.alloc(Math.min(size - this.#offset, MAX_PIECE_BYTES))
      this.#offset += readSync(file, bytes, 0, bytes.length, this.#offset)
      this.#take(bytes.toString('utf8'))
      return this.#offset < size
    } finally {
      closeSync(file)
    }
  }

  readToEnd(): void {
    while (this.read());
    if (this.#rest !== '') this.#check(this.#rest)
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) if (line !== '') this.#check(line)
  }

  #check(line: string): void {
    this.counts.lines += 1
    const secret = findSecret(line)
    if (secret !== undefined) this.#findings.add('secret', `${this.#name}: ${secret}`)
    const level = levelOf(line)
    if (level === 'warn') this.counts.warnings += 1
    if (level === 'error') this.counts.errors += 1
    if (level !== undefined && level !== 'fatal') return
    const words = secret === undefined ? line.slice(0, 300) : 'a line with a secret'
    this.#findings.add('log', `${this.#name}: ${words}`)
  }
}

/** Undefined if it is no line of the log: what Node.js prints when it crashes is none. */
function levelOf(line: string): string | undefined {
  try {
    const { level } = JSON.parse(line) as { level?: unknown }
    return typeof level === 'string' ? level : undefined
  } catch {
    return undefined
  }
}
