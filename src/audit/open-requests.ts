import type { DatabaseSync, StatementSync } from 'node:sqlite'

import type { AuditEntry } from './entry.ts'

/** Requests whose response was not read yet, and responses whose request was not: files come in any order. */
export class OpenRequests {
  readonly #remove: StatementSync
  readonly #add: StatementSync
  readonly #unanswered: StatementSync

  constructor(database: DatabaseSync) {
    database.exec('CREATE TABLE open (id TEXT PRIMARY KEY, entry TEXT) WITHOUT ROWID')
    this.#remove = database.prepare('DELETE FROM open WHERE id = ?')
    this.#add = database.prepare('INSERT OR REPLACE INTO open VALUES (?, ?)')
    this.#unanswered = database.prepare('SELECT entry FROM open WHERE entry IS NOT NULL')
  }

  addRequest(entry: AuditEntry): void {
    if (!this.#close(entry.id)) this.#add.run(entry.id, JSON.stringify(entry))
  }

  addResponse({ id }: AuditEntry): void {
    if (!this.#close(id)) this.#add.run(id, null)
  }

  /** Requests whose response is in none of the files. */
  *unanswered(): Iterable<AuditEntry> {
    for (const row of this.#unanswered.iterate())
      yield JSON.parse(String(row['entry'])) as AuditEntry
  }

  /** Whether the other half was there. */
  #close(id: string): boolean {
    return this.#remove.run(id).changes > 0
  }
}
