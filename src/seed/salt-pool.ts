import { randomBytes } from 'node:crypto'

import { SALT_BYTES } from './derived-seal.ts'

/** Salts of one request to the random number generator. More save hardly anything. */
const SALTS = 16

/** Salts for {@link sealDerived}, several at once: one at a time, the generator takes a twentieth of the time of an Encrypt. */
export class SaltPool {
  #bytes = Buffer.alloc(0)

  /** A salt that was never returned before. */
  take(): Buffer {
    if (this.#bytes.length === 0) this.#bytes = randomBytes(SALTS * SALT_BYTES)
    const salt = this.#bytes.subarray(0, SALT_BYTES)
    this.#bytes = this.#bytes.subarray(SALT_BYTES)
    return salt
  }
}
