import { DatabaseSync } from 'node:sqlite'

/** Result codes of SQLite (https://www.sqlite.org/rescode.html). */
const SQLITE_BUSY = 5
const SQLITE_NOTADB = 26

/** Why a lock could not be taken. */
export type LockFailure = 'in-use' | 'not-a-lock' | 'failed'

/** A lock that its process holds until it releases it or ends. */
export interface RunLock {
  readonly release: () => void
}

/**
 * Takes an exclusive lock on a file, which is created if needed and stays. SQLite takes it with fcntl(2): the kernel
 * releases it when the process ends in any way, and it holds between containers that share the folder, where process ids
 * mean nothing. Returns why it was not taken.
 */
export function takeRunLock(path: string): RunLock | LockFailure {
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(path, { timeout: 0 })
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    const held = database
    return { release: () => held.close() }
  } catch (error) {
    database?.close()
    return explain(error)
  }
}

function explain(error: unknown): LockFailure {
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0
  if (code === SQLITE_BUSY) return 'in-use'
  return code === SQLITE_NOTADB ? 'not-a-lock' : 'failed'
}
