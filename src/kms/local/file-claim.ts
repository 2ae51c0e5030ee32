import { open } from 'node:fs/promises'

import { BridgeError } from '../../errors.ts'
import type { RunLock } from '../../files/run-lock.ts'

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
    // Opening the file first reports why it cannot be created, and sets its mode. Closing it would release a lock that this
    // process holds (fcntl_locking(2)).
    await (await open(this.#path, 'a', 0o600)).close()
    const { takeRunLock } = await import('../../files/run-lock.ts')
    const taken = takeRunLock(this.#path)
    if (taken === 'in-use') return false
    if (typeof taken === 'string') {
      const fix = 'remove it if no other plugin uses the sealed file'
      throw new BridgeError('HOST_FAILED', `${this.#path} cannot be locked; ${fix}`)
    }
    this.#lock = taken
    return true
  }

  release(): void {
    this.#lock?.release()
    this.#lock = undefined
  }
}
