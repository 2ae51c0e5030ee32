import type { LogLine, Unread } from './log-file.ts'

/** What was found in a file. */
export interface FileReading {
  readonly path: string
  /** Entries of an audit file, about anything. */
  readonly entries: number
  /** Calls in a plugin's log. */
  readonly calls: number
  /** Lines that could not be read. */
  readonly unread: number
  /** The first of them. */
  readonly problems: readonly Unread[]
  /** Whether it holds neither audit entries nor log lines of a plugin. */
  readonly isUseless: boolean
}

/** Maximum number of problems that are kept for each file. All are counted. */
const MAX_PROBLEMS = 10

/** Counts what a file holds while it is read. */
export class FileCounter {
  readonly #path: string
  readonly #problems: Unread[] = []
  #unread = 0
  #isLog = false
  entries = 0
  calls = 0

  constructor(path: string) {
    this.#path = path
  }

  add(line: LogLine): void {
    if ('value' in line) {
      this.#isLog ||= isLogLine(line.value)
      return
    }
    this.#unread += 1
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push(line)
  }

  get reading(): FileReading {
    const { entries, calls } = this
    const isUseless = entries === 0 && calls === 0 && !this.#isLog
    const unread = this.#unread
    return { path: this.#path, entries, calls, unread, problems: this.#problems, isUseless }
  }
}

/** Whether a line may be from a plugin, at any level. */
function isLogLine(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'level' in value && 'msg' in value
}
