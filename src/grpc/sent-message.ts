import type { EventEmitter } from 'node:events'

/** An encoded answer: the part of a Buffer that grpc-js uses (server-interceptors.ts, serializeMessage). */
export interface SentMessage {
  readonly byteLength: number
  /** Writes it into the buffer that grpc-js sends. */
  copy(target: Uint8Array, start: number): number
}

/** A call of grpc-js, which emits "cancelled" when its stream has ended, also after an answer (server-interceptors.ts). */
export type CallEnd = Pick<EventEmitter, 'on'> & { readonly cancelled: boolean }

/**
 * An encoded answer with plaintext. grpc-js copies it into another buffer, with `copy`; that is the only way to find the buffer
 * that is sent.
 */
export class SecretMessage implements SentMessage {
  readonly byteLength: number
  #bytes: Buffer | undefined
  #copy: Uint8Array | undefined

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.byteLength = bytes.byteLength
  }

  /** Only once: from then on, the copy is the message. */
  copy(target: Uint8Array, start: number): number {
    const written = this.#bytes?.copy(target, start) ?? 0
    this.zero()
    this.#copy = target
    return written
  }

  zero(): void {
    this.#bytes?.fill(0)
    this.#bytes = undefined
    this.#copy?.fill(0)
  }

  /** Zeroes it and its copies when the call has ended; if it was sent, that is after all of it was written to the socket. */
  zeroAfter(call: CallEnd): void {
    if (call.cancelled) this.zero()
    else call.on('cancelled', () => this.zero())
  }
}
