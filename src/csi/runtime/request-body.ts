import type { IncomingMessage } from 'node:http'

import { BridgeError } from '../../errors.ts'

/** A batch of some thousand values; Vault's own limit is 32 MiB (max_request_size). */
const MAX_BODY_BYTES = 2 * 1024 * 1024
/** Of all volumes together, while they wait for Vault. See docs/design.md, "Memory bounds". */
const MAX_TOTAL_BYTES = 32 * 1024 * 1024

/** Limits the bytes of the request bodies of all volumes that are in memory. */
export class BodyBudget {
  #held = 0

  /** Throws OVERLOADED if too much is held. */
  take(bytes: number): void {
    if (this.#held + bytes > MAX_TOTAL_BYTES) {
      throw new BridgeError(
        'OVERLOADED',
        'the requests in progress on this node are too large together; try again',
      )
    }
    this.#held += bytes
  }

  give(bytes: number): void {
    this.#held -= bytes
  }
}

export interface ReadBody {
  readonly bytes: Buffer
  /** Zeroes the bytes and returns them to the budget. */
  release(): void
}

/** Reads a complete body. Throws CONTENT_TOO_LARGE, OVERLOADED, or REQUEST_INVALID if the client stops early. */
export async function readBody(message: IncomingMessage, budget: BodyBudget): Promise<ReadBody> {
  const declared = Number(message.headers['content-length'] ?? 0)
  if (declared > MAX_BODY_BYTES) throw tooLarge()
  const chunks: Buffer[] = []
  let size = 0
  const release = () => {
    for (const chunk of chunks) chunk.fill(0)
    budget.give(size)
  }
  try {
    for await (const chunk of message as AsyncIterable<Buffer>) {
      if (size + chunk.length > MAX_BODY_BYTES) throw tooLarge()
      budget.take(chunk.length)
      size += chunk.length
      chunks.push(chunk)
    }
  } catch (thrown) {
    release()
    if (thrown instanceof BridgeError) throw thrown
    throw new BridgeError('REQUEST_INVALID', 'the request ended early', { cause: thrown })
  }
  const [only = Buffer.alloc(0)] = chunks
  const bytes = chunks.length <= 1 ? only : Buffer.concat(chunks)
  return {
    bytes,
    release: () => {
      bytes.fill(0)
      release()
    },
  }
}

function tooLarge(): BridgeError {
  const limit = String(MAX_BODY_BYTES / 1024 / 1024)
  return new BridgeError('CONTENT_TOO_LARGE', `http: request body too large: at most ${limit} MiB`)
}
