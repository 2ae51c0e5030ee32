import type { EventEmitter } from 'node:events'

/** A call of grpc-js, which emits "cancelled" when its stream has ended, also after an answer (server-interceptors.ts). */
export type CallEnd = Pick<EventEmitter, 'once'> & { readonly cancelled: boolean }

/**
 * Zeroes an encoded message when its call has ended. grpc-js copies a message into a buffer of its own, with the message's
 * `copy` (server-interceptors.ts, serializeMessage); that is the only way to find the buffer that is sent. After an answer
 * a call ends when all of it has been written to the socket.
 */
export function zeroAfterCall(message: Buffer, call: CallEnd): void {
  const buffers = [message]
  message.copy = (target, ...range) => {
    if (target instanceof Uint8Array)
      buffers.push(Buffer.from(target.buffer, target.byteOffset, target.byteLength))
    return Buffer.prototype.copy.call(message, target, ...range)
  }
  const zero = () => {
    for (const buffer of buffers) buffer.fill(0)
  }
  if (call.cancelled) zero()
  else call.once('cancelled', zero)
}
