import { BridgeError } from '../../errors.ts'

/** Of all volumes together: bodies while they wait for Vault, and responses until the client has read them. See docs/design.md, "Memory bounds". */
const MAX_TOTAL_BYTES = 32 * 1024 * 1024

/** Limits the bytes of requests and responses of all volumes that are in memory. */
export class ByteBudget {
  #held = 0

  /** Returns the share of one volume. */
  share(): ByteShare {
    let own = 0
    return {
      take: (bytes) => {
        const free = MAX_TOTAL_BYTES - this.#held - bytes
        if (own + bytes > free) {
          throw new BridgeError(
            'OVERLOADED',
            'the requests and responses in progress are too large together; send fewer at once',
          )
        }
        own += bytes
        this.#held += bytes
      },
      give: (bytes) => {
        own -= bytes
        this.#held -= bytes
      },
    }
  }
}

/**
 * The bytes of one volume. It may never hold more than is still free: a single one holds at most half, and no matter how many hold as
 * much as they can, one more finds room.
 */
export interface ByteShare {
  /** Throws OVERLOADED if the volume would hold too much. */
  take(bytes: number): void
  give(bytes: number): void
}
