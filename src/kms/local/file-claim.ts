import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

import { BridgeError } from '../../errors.ts'
import { readWithinTime } from '../../files/bounded-read.ts'
import type { RunLock } from '../../files/run-lock.ts'
import { systemCodeOf } from '../../files/system-error.ts'

/** What open(2) returns for a folder, and for a named pipe that nothing reads. */
const OF_OTHER_FILES: ReadonlySet<string> = new Set(['EISDIR', 'ENXIO'])

/**
 * Reserves a file for one plugin until that plugin releases it or ends. If two plugins shared a sealed file, each would overwrite
 * the local keys of the other.
 */
export class FileClaim {
  readonly #path: string
  #lock: RunLock | undefined

  constructor(path: string) {
    this.#path = `${path}.lock`
  }

  /** Whether this plugin has the file now; false if another one has it. Throws HOST_FAILED, or what node:fs throws. */
  async hold(): Promise<boolean> {
    if (this.#lock !== undefined) return true
    await readWithinTime(this.#path, () => this.#create())
    const { takeRunLock } = await import('../../files/run-lock.ts')
    const taken = takeRunLock(this.#path)
    if (taken === 'in-use') return false
    if (typeof taken === 'string') throw this.#unusable('cannot be locked')
    this.#lock = taken
    return true
  }

  /**
   * Opening the file first reports why it cannot be created, and sets its mode; SQLite would wait for a named pipe. Closing it
   * would release a lock that this process holds (fcntl_locking(2)).
   */
  async #create(): Promise<void> {
    const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants
    const flags = O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK
    const file = await open(this.#path, flags, 0o600).catch((error: unknown) => {
      const isOther = OF_OTHER_FILES.has(systemCodeOf(error) ?? '')
      throw isOther ? this.#unusable('is not a regular file') : error
    })
    try {
      if (!(await file.stat()).isFile()) throw this.#unusable('is not a regular file')
    } finally {
      await file.close()
    }
  }

  #unusable(why: string): BridgeError {
    const fix = 'remove it if no other plugin uses the sealed file'
    return new BridgeError('HOST_FAILED', `${this.#path} ${why}; ${fix}`)
  }

  release(): void {
    this.#lock?.release()
    this.#lock = undefined
  }
}
