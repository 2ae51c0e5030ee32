import { BridgeError } from '../../errors.ts'

/**
 * Of all volumes together: bodies while they wait for Vault, and responses from their first byte until the client has read
 * them. See docs/design.md, "Memory bounds".
 */
const MAX_TOTAL_BYTES = 32 * 1024 * 1024

/** Limits the bytes of requests and responses of all volumes that are in memory. */
export class ByteBudget {
  #held = 0

  /** Returns the share of one volume. */
  share(): ByteShare {
    let own = 0
    return {
      hold: () => {
        let held = 0
        return {
          set: (bytes) => {
            const more = bytes - held
            if (more > 0 && own + more > MAX_TOTAL_BYTES - this.#held - more) {
              throw new BridgeError(
                'OVERLOADED',
                'the requests and responses in progress are too large together; send fewer at once',
              )
            }
            held = bytes
            own += more
            this.#held += more
          },
        }
      },
    }
  }
}

/**
 * The bytes of one volume. A volume may never hold more than what is still free. So one volume holds at most half, and
 * something is left for the next one.
 */
export interface ByteShare {
  hold(): HeldBytes
}

/** The bytes of one request, or of one response. */
export interface HeldBytes {
  /**
   * Changes the number of bytes that are held. Throws OVERLOADED if the volume would hold too much; the number then stays the
   * same.
   */
  set(bytes: number): void
}
