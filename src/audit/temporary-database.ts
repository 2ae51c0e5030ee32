import { DatabaseSync } from 'node:sqlite'

/** Memory for the pages in use; SQLite keeps the others in its temporary file. */
const CACHE_KIBIBYTES = 32 * 1024

/**
 * A database in a temporary file that SQLite deletes as soon as it is opened (https://www.sqlite.org/inmemorydb.html,
 * "Temporary Databases"), so that the logs of days are compared in constant memory. SQLITE_TMPDIR names its folder.
 */
export function openTemporaryDatabase(): DatabaseSync {
  const database = new DatabaseSync('')
  database.exec(`
    PRAGMA cache_size = -${String(CACHE_KIBIBYTES)};
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    BEGIN`)
  return database
}
