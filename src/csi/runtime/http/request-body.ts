import type { IncomingMessage } from 'node:http'

import { BridgeError } from '../../../errors.ts'
import type { HeldBytes } from '../byte-budget.ts'

/** A batch of a few thousand values; Vault's own limit is 32 MiB (max_request_size). */
const MAX_BODY_BYTES = 2 * 1024 * 1024
const FIRST_BYTES = 4 * 1024
/** Each piece of a body costs time, no matter how short it is: clients send pieces of a few KiB, but one of a byte is possible. */
const MAX_SHORT_PIECES = 1_000
const SHORT_BYTES = 256

/** The part of a message that is read here. */
export type BodySource = Pick<IncomingMessage, 'headers'> & AsyncIterable<Buffer>

export interface ReadBody {
  readonly bytes: Buffer
  /** Zeroes the bytes and returns them to the budget. */
  release(): void
}

/** Reads a complete body. Throws CONTENT_TOO_LARGE, OVERLOADED, or REQUEST_INVALID if the client stops early. */
export async function readBody(source: BodySource, held: HeldBytes): Promise<ReadBody> {
  const declared = Number(source.headers['content-length'] ?? 0)
  if (declared > MAX_BODY_BYTES) throw tooLarge()
  const body = new GrowingBody(held)
  try {
    for await (const chunk of source) body.add(chunk)
  } catch (thrown) {
    body.release()
    if (thrown instanceof BridgeError) throw thrown
    throw new BridgeError('REQUEST_INVALID', 'the request ended early', { cause: thrown })
  }
  return { bytes: body.bytes, release: () => body.release() }
}

/**
 * One buffer that grows. Chunks are copied and zeroed at once: a client can send chunks of a single byte, and each one takes
 * a few hundred bytes of memory.
 */
class GrowingBody {
  readonly #held: HeldBytes
  #buffer = Buffer.alloc(0)
  #size = 0
  #pieces = 0

  constructor(held: HeldBytes) {
    this.#held = held
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#size)
  }

  add(chunk: Buffer): void {
    const size = this.#size + chunk.length
    try {
      if (size > MAX_BODY_BYTES) throw tooLarge()
      this.#pieces += 1
      if (this.#pieces > MAX_SHORT_PIECES + size / SHORT_BYTES)
        throw new BridgeError('REQUEST_INVALID', 'the body arrives in too many short pieces')
      if (size > this.#buffer.length) this.#grow(size)
      chunk.copy(this.#buffer, this.#size)
      this.#size = size
    } finally {
      chunk.fill(0)
    }
  }

  release(): void {
    this.#buffer.fill(0)
    this.#held.set(0)
    this.#buffer = Buffer.alloc(0)
    this.#size = 0
  }

  #grow(size: number): void {
    const doubled = Math.min(2 * this.#buffer.length, MAX_BODY_BYTES)
    const length = Math.max(size, doubled, FIRST_BYTES)
    // Both exist until the bytes are copied.
    this.#held.set(this.#buffer.length + length)
    const grown = Buffer.alloc(length)
    this.#buffer.copy(grown)
    this.#buffer.fill(0)
    this.#held.set(length)
    this.#buffer = grown
  }
}

function tooLarge(): BridgeError {
  const limit = String(MAX_BODY_BYTES / 1024 / 1024)
  return new BridgeError('CONTENT_TOO_LARGE', `http: request body too large: at most ${limit} MiB`)
}
