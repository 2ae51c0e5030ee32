import type { DatabaseSync, StatementSync } from 'node:sqlite'

import { nameOrigin, type KeyUse } from './key-use.ts'

/** The number of uses of one kind. */
export interface UseCount {
  readonly mount: string
  readonly key: string
  readonly action: string
  readonly from: string
  readonly result: 'ok' | 'failed'
  readonly count: number
  readonly first: string
  readonly last: string
}

/** Maximum number of suspicious uses in a report. All are counted. */
const MAX_SUSPICIOUS = 1_000
/** Maximum number of kinds of use in a report: names of keys come from callers, also from those that Vault refused. */
const MAX_COUNTS = 10_000

/** Counts uses by kind, and keeps those that are suspicious. */
export class UseTally {
  readonly #count: StatementSync
  readonly #keep: StatementSync
  readonly #counts: StatementSync
  readonly #suspicious: StatementSync
  #suspects = 0

  constructor(database: DatabaseSync) {
    database.exec(`
      CREATE TABLE uses (
        mount TEXT, key TEXT, action TEXT, "from" TEXT, result TEXT, count INTEGER, first TEXT, last TEXT,
        PRIMARY KEY (mount, key, action, "from", result)
      ) WITHOUT ROWID;
      CREATE TABLE suspects (time TEXT, use TEXT)`)
    this.#count = database.prepare(`
      INSERT INTO uses VALUES (?, ?, ?, ?, ?, 1, ?6, ?6) ON CONFLICT DO UPDATE SET
        count = count + 1, first = min(first, excluded.first), last = max(last, excluded.last)`)
    this.#keep = database.prepare('INSERT INTO suspects VALUES (?, ?)')
    this.#counts = database.prepare(`SELECT * FROM uses LIMIT ${String(MAX_COUNTS)}`)
    this.#suspicious = database.prepare(
      `SELECT use FROM suspects ORDER BY time LIMIT ${String(MAX_SUSPICIOUS)}`,
    )
  }

  add(use: KeyUse): void {
    const { mount, key, action, origin, result, time } = use
    const outcome = result === 'ok' ? 'ok' : 'failed'
    this.#count.run(mount, key, action, nameOrigin(origin), outcome, time)
    if (!use.isSuspicious) return
    this.#suspects += 1
    this.#keep.run(time, JSON.stringify(use))
  }

  get suspiciousCount(): number {
    return this.#suspects
  }

  /** The earliest ones. */
  suspicious(): readonly KeyUse[] {
    return this.#suspicious.all().map((row) => JSON.parse(String(row['use'])) as KeyUse)
  }

  counts(): readonly UseCount[] {
    return this.#counts.all() as unknown as readonly UseCount[]
  }
}
