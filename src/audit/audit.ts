import type { DatabaseSync } from 'node:sqlite'

import { CallLedger, type UnrecordedCalls } from './call-ledger.ts'
import { concernsKey, readAuditEntry, type AuditEntry } from './entry.ts'
import { FileCounter, type FileReading } from './file-reading.ts'
import { makeKeyUse, type KeyUse } from './key-use.ts'
import type { LogLine } from './log-file.ts'
import { OpenRequests } from './open-requests.ts'
import { readPluginCall, type PluginCall } from './plugin-call.ts'
import { UseTally, type UseCount } from './use-tally.ts'

/** The result of `audit`. Its field names are those of the JSON output and must not change. */
export interface AuditSummary {
  /** Whether nothing is suspicious, everything was read, and there were calls of plugins to compare with. */
  readonly ok: boolean
  readonly uses: readonly UseCount[]
  /** Uses that may have returned something secret and that no plugin asked for: the earliest ones. */
  readonly suspicious: readonly KeyUse[]
  readonly suspiciousCount: number
  /** Number of calls in the plugins' logs, without their checks. */
  readonly pluginCalls: number
  /**
   * Number of log lines of calls and checks that are about the key and within the time. 0: the logs are missing or not at level debug,
   * so a missing audit file would not be noticed.
   */
  readonly comparedCalls: number
  /** The time for which calls need an entry, RFC 3339. */
  readonly since?: string | undefined
  readonly until?: string | undefined
  /** Calls that Vault answered and that have no entry in any file, so a file is missing. */
  readonly unrecordedCalls: UnrecordedCalls
  /** Number of responses without their request, so a file is missing. */
  readonly responsesAlone: number
  readonly files: readonly FileReading[]
}

export interface AuditOptions {
  readonly database: DatabaseSync
  /** Only this key. Default: all. */
  readonly key?: string | undefined
  /** The uids of runs of `verify` that the operator knows of. */
  readonly verifyRuns?: readonly string[] | undefined
  /** The time that the audit files cover, in milliseconds since 1970: calls outside need no entry. Default: all. */
  readonly since?: number | undefined
  readonly until?: number | undefined
  readonly onUse?: ((use: KeyUse) => void) | undefined
}

const INVALID_ENTRY = 'does not have the fields of an audit entry'
const DEVICE_REMOVED =
  'removes an audit device (sys/audit), so later uses may be missing from the files'
const DEVICE_FILTERED =
  'enables an audit device that omits entries (filter, exclude), so uses may be missing from the files'

/** Maximum number of key names in a message. */
const MAX_KEYS = 20

/** Matches audit entries with the calls of plugins: pass all files to {@link readCalls} first, then to {@link readEntries}. */
export class Audit {
  readonly #options: AuditOptions
  readonly #ledger: CallLedger
  readonly #open: OpenRequests
  readonly #tally: UseTally
  readonly #files = new Map<string, FileCounter>()
  /** Names of keys in entries about other keys; the first ones. */
  readonly #otherKeys = new Set<string>()
  #entries = 0
  #comparedCalls = 0

  constructor(options: AuditOptions) {
    this.#options = options
    this.#ledger = new CallLedger(options.database, options.verifyRuns ?? [])
    this.#open = new OpenRequests(options.database)
    this.#tally = new UseTally(options.database)
  }

  /** `node`: the name of the plugin's node, if the file is a plugin's log. */
  async readCalls(
    path: string,
    node: string,
    batches: AsyncIterable<readonly LogLine[]>,
  ): Promise<void> {
    const file = this.#file(path)
    for await (const lines of batches) for (const line of lines) this.#addCall(file, node, line)
  }

  async readEntries(path: string, batches: AsyncIterable<readonly LogLine[]>): Promise<void> {
    const file = this.#file(path)
    for await (const lines of batches) for (const line of lines) this.#addEntry(file, line)
  }

  /** Call it once, after all files were read. */
  summarize(): AuditSummary {
    for (const entry of this.#open.unanswered()) this.#complete(entry, entry.error ?? 'no answer')
    const files = [...this.#files.values()].map(({ reading }) => reading)
    const { suspiciousCount } = this.#tally
    const unrecordedCalls = this.#ledger.unrecorded
    const responsesAlone = this.#open.halves
    const { since, until } = this.#options
    return {
      ok:
        this.#comparedCalls > 0 &&
        suspiciousCount + unrecordedCalls.count + responsesAlone === 0 &&
        files.every(({ unread, isUseless }) => unread === 0 && !isUseless),
      uses: this.#tally.counts(),
      suspicious: this.#tally.suspicious(),
      suspiciousCount,
      pluginCalls: this.#ledger.calls,
      comparedCalls: this.#comparedCalls,
      since: formatTime(since),
      until: formatTime(until),
      unrecordedCalls,
      responsesAlone,
      files,
    }
  }

  /** Number of entries about the key, or about any key. */
  get entries(): number {
    return this.#entries
  }

  get otherKeys(): readonly string[] {
    return [...this.#otherKeys]
  }

  #addCall(file: FileCounter, node: string, line: LogLine): void {
    const call = 'value' in line ? readPluginCall(line.value) : undefined
    if (call === undefined) return
    file.calls += 1
    const isCompared = this.#isCompared(call)
    if (isCompared) this.#comparedCalls += 1
    this.#ledger.addCall(node, call, isCompared && call.isAnswered && call.key !== '')
  }

  #isCompared({ key, time }: PluginCall): boolean {
    const { since = -Infinity, until = Infinity } = this.#options
    const isOurs = this.#options.key === undefined || key.endsWith(`/${this.#options.key}`)
    const at = Date.parse(time)
    return isOurs && !(at < since) && !(at > until)
  }

  #addEntry(file: FileCounter, line: LogLine): void {
    if (!('value' in line)) {
      file.addUnread(line)
      return
    }
    const entry = readAuditEntry(line.value)
    if (entry === undefined) file.addOther(line)
    else file.entries += 1
    if (entry === 'invalid') file.addUnread({ line: line.line, why: INVALID_ENTRY })
    if (entry === 'device-removed') file.addUnread({ line: line.line, why: DEVICE_REMOVED })
    if (entry === 'device-filtered') file.addUnread({ line: line.line, why: DEVICE_FILTERED })
    if (typeof entry === 'object') this.#take(entry)
  }

  #take(entry: AuditEntry): void {
    const { key } = this.#options
    if (key !== undefined && !concernsKey(entry, key)) {
      if (this.#otherKeys.size < MAX_KEYS) this.#otherKeys.add(entry.key)
      return
    }
    this.#entries += 1
    if (entry.type === 'request') {
      this.#open.addRequest(entry)
      return
    }
    this.#open.addResponse(entry)
    this.#complete(entry, entry.error ?? 'ok')
  }

  #file(path: string): FileCounter {
    const known = this.#files.get(path) ?? new FileCounter(path)
    this.#files.set(path, known)
    return known
  }

  #complete(entry: AuditEntry, result: string): void {
    const use = makeKeyUse(entry, this.#ledger.claim(entry), result)
    this.#tally.add(use)
    this.#options.onUse?.(use)
  }
}

function formatTime(at: number | undefined): string | undefined {
  return at === undefined ? undefined : new Date(at).toISOString()
}
