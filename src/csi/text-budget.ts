import { BridgeError } from '../errors.ts'

/** While a request waits for Vault, it occupies up to four times its size on the JavaScript heap. */
const MAX_BYTES = 4 * 1024 * 1024
/** What a smaller request counts as, so that one namespace cannot hold all 512 Mounts (provider.ts). */
const MIN_BYTES = 8 * 1024

/**
 * Bounds the total text size of Mounts in progress. A limit on their number is not enough: a class has up to 256 KiB,
 * and every Mount waits while Vault hangs. A namespace may never hold more than what is still free. So one namespace holds at
 * most half, and something is left for the next one. See docs/design.md, "Memory bounds".
 */
export class TextBudget {
  #bytes = 0
  /** A namespace without Mounts in progress is absent. */
  readonly #byNamespace = new Map<string, number>()

  /** Throws OVERLOADED if the namespace would hold too much. */
  async run<T>(namespace: string, length: number, work: () => Promise<T>): Promise<T> {
    const bytes = Math.max(length, MIN_BYTES)
    const own = (this.#byNamespace.get(namespace) ?? 0) + bytes
    if (own > MAX_BYTES - this.#bytes - bytes) {
      throw new BridgeError(
        'OVERLOADED',
        `the Mounts in progress of namespace ${namespace} hold too much SecretProviderClass text (all namespaces of the node together may hold ${String(MAX_BYTES / 1024 / 1024)} MiB); the kubelet retries`,
      )
    }
    this.#count(namespace, bytes)
    try {
      return await work()
    } finally {
      this.#count(namespace, -bytes)
    }
  }

  #count(namespace: string, bytes: number): void {
    const own = (this.#byNamespace.get(namespace) ?? 0) + bytes
    this.#bytes += bytes
    if (own === 0) this.#byNamespace.delete(namespace)
    else this.#byNamespace.set(namespace, own)
  }
}
