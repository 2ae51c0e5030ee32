import type { JsonLine, Unread } from './log-file.ts'

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

const WRAPPED = 'contains an audit entry inside a string; pass the entries as Vault wrote them'
const UNKNOWN = 'is neither an audit entry nor a log line of a plugin'
const ENTRY = /"request":\s*\{/

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

  addUnread(line: Unread): void {
    this.#unread += 1
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push(line)
  }

  /** A line that is not an entry of an audit file. */
  addOther({ line, value }: JsonLine): void {
    if (containsEntry(value)) this.addUnread({ line, why: WRAPPED })
    else if (isLogLine(value)) this.#isLog = true
    else this.addUnread({ line, why: UNKNOWN })
  }

  get reading(): FileReading {
    const { entries, calls } = this
    const isUseless = entries === 0 && calls === 0 && !this.#isLog
    const unread = this.#unread
    return { path: this.#path, entries, calls, unread, problems: this.#problems, isUseless }
  }
}

/** Whether a line may be from a plugin, at any level, or from the log of Vault itself. */
function isLogLine(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return ('level' in value && 'msg' in value) || ('@level' in value && '@message' in value)
}

/** Whether a log shipper put an entry of an audit file, as text, into another object. */
function containsEntry(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.values(value).some((text) => typeof text === 'string' && ENTRY.test(text))
}
