import { BridgeError } from '../errors.ts'

/** Of the JavaScript heap: a request of this size takes up to four times as much of it while Vault is asked. */
const MAX_BYTES = 8 * 1024 * 1024

/**
 * Bounds the text of the Mounts that are being served. Their number alone is no bound: a class has up to 256 KiB, and
 * while Vault hangs every Mount waits.
 */
export class TextBudget {
  #bytes = 0

  /** Throws OVERLOADED where the text is too much beside that of other Mounts. */
  async run<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    if (this.#bytes + bytes > MAX_BYTES) {
      throw new BridgeError(
        'OVERLOADED',
        `the requests being served hold ${String(MAX_BYTES / 1024 / 1024)} MiB of SecretProviderClass text already; the kubelet tries again`,
      )
    }
    this.#bytes += bytes
    try {
      return await work()
    } finally {
      this.#bytes -= bytes
    }
  }
}
