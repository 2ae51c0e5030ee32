import { BridgeError } from '../errors.ts'

/** While a request waits for Vault, it occupies up to four times its size on the JavaScript heap. */
const MAX_BYTES = 4 * 1024 * 1024

/**
 * Bounds the total text size of Mounts in progress. A limit on their number is not enough: a class has up to 256 KiB,
 * and every Mount waits while Vault hangs. See docs/design.md, "Memory bounds".
 */
export class TextBudget {
  #bytes = 0

  /** Throws OVERLOADED if the total would exceed the limit. */
  async run<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    if (this.#bytes + bytes > MAX_BYTES) {
      throw new BridgeError(
        'OVERLOADED',
        `Mounts in progress already hold ${String(MAX_BYTES / 1024 / 1024)} MiB of SecretProviderClass text; kubelet retries`,
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
