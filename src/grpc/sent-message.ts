import type { EventEmitter } from 'node:events'

/** An encoded answer: the part of a Buffer that grpc-js uses (server-interceptors.ts, serializeMessage). */
export interface SentMessage {
  readonly byteLength: number
  /** Writes it into the buffer that grpc-js sends. */
  copy(target: Uint8Array, start: number): number
}

/** A call of grpc-js, which emits "cancelled" when its stream has ended, also after an answer (server-interceptors.ts). */
export type CallEnd = Pick<EventEmitter, 'once'> & { readonly cancelled: boolean }

/**
 * An encoded answer with plaintext. grpc-js copies it into another buffer, with `copy`; that is the only way to find the buffer
 * that is sent.
 */
export class SecretMessage implements SentMessage {
  readonly #bytes: Buffer
  readonly #copies: Uint8Array[] = []

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get byteLength(): number {
    return this.#bytes.byteLength
  }

  copy(target: Uint8Array, start: number): number {
    this.#copies.push(target)
    return this.#bytes.copy(target, start)
  }

  /** Zeroes it and its copies when the call has ended; if it was sent, that is after all of it was written to the socket. */
  zeroAfter(call: CallEnd): void {
    const zero = () => {
      this.#bytes.fill(0)
      for (const copy of this.#copies) copy.fill(0)
    }
    if (call.cancelled) zero()
    else call.once('cancelled', zero)
  }
}
