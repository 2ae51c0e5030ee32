import type { DatabaseSync, StatementSync } from 'node:sqlite'

import type { AuditEntry } from './entry.ts'

/** Requests whose response was not read yet, and responses whose request was not: files come in any order. */
export class OpenRequests {
  readonly #remove: StatementSync
  readonly #add: StatementSync
  readonly #unanswered: StatementSync
  readonly #halves: StatementSync

  constructor(database: DatabaseSync) {
    database.exec(`
      CREATE TABLE open (id TEXT, type TEXT, entry TEXT, PRIMARY KEY (id, type)) WITHOUT ROWID`)
    this.#remove = database.prepare('DELETE FROM open WHERE id = ? AND type = ?')
    this.#add = database.prepare('INSERT OR REPLACE INTO open VALUES (?, ?, ?)')
    this.#halves = database.prepare('SELECT count(*) AS count FROM open WHERE entry IS NULL')
    this.#unanswered = database.prepare('SELECT entry FROM open WHERE entry IS NOT NULL')
  }

  addRequest(entry: AuditEntry): void {
    if (!this.#close(entry.id, 'response'))
      this.#add.run(entry.id, 'request', JSON.stringify(entry))
  }

  addResponse({ id }: AuditEntry): void {
    if (!this.#close(id, 'request')) this.#add.run(id, 'response', null)
  }

  /** Number of responses whose request is in none of the files, although Vault writes the request first. */
  get halves(): number {
    return Number(this.#halves.get()?.['count'] ?? 0)
  }

  /** Requests whose response is in none of the files. */
  *unanswered(): Iterable<AuditEntry> {
    for (const row of this.#unanswered.iterate())
      yield JSON.parse(String(row['entry'])) as AuditEntry
  }

  /** Whether the other half was there. Two requests with the same id are copies, not halves of one use. */
  #close(id: string, other: AuditEntry['type']): boolean {
    return this.#remove.run(id, other).changes > 0
  }
}
