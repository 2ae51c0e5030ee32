/**
 * Allocates zeroed bytes for a secret, outside V8's heap. `Buffer.alloc` puts up to 64 bytes into the heap. If node:crypto receives
 * such a buffer, V8 moves the bytes and leaves a copy that nothing can zero.
 */
export function allocateSecret(length: number): Buffer {
  return Buffer.allocUnsafe(length).fill(0)
}
