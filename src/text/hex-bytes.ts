import { allocateSecret } from './secret-bytes.ts'

/** Hexadecimal digits from bytes to bytes, for the same reason as base64-bytes.ts. */
const DIGITS = Buffer.from('0123456789abcdef')
const UPPER = Buffer.from('ABCDEF')
const INVALID = 0x80

const VALUES = new Uint8Array(256).fill(INVALID)
for (const [value, digit] of DIGITS.entries()) VALUES[digit] = value
for (const [index, digit] of UPPER.entries()) VALUES[digit] = 10 + index

export function encodeHex(bytes: Uint8Array): Buffer {
  const encoded = allocateSecret(2 * bytes.length)
  let at = 0
  for (const byte of bytes) {
    encoded[at++] = DIGITS[byte >> 4] ?? 0
    encoded[at++] = DIGITS[byte & 0x0f] ?? 0
  }
  return encoded
}

/** Returns undefined for anything but pairs of digits, where Node.js returns the part before it. */
export function decodeHex(text: Uint8Array): Buffer | undefined {
  if (text.length % 2 !== 0) return undefined
  const decoded = allocateSecret(text.length / 2)
  let faults = 0
  for (let at = 0; at < decoded.length; at += 1) {
    const high = VALUES[text[2 * at] ?? 0] ?? INVALID
    const low = VALUES[text[2 * at + 1] ?? 0] ?? INVALID
    faults |= high | low
    decoded[at] = (high << 4) | low
  }
  if ((faults & INVALID) === 0) return decoded
  decoded.fill(0)
  return undefined
}
