import { allocateSecret } from './secret-bytes.ts'

/**
 * Base64 (RFC 4648, section 4) from bytes to bytes. Node.js converts only between bytes and strings, and a string with a
 * secret cannot be zeroed.
 */
const ALPHABET = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
const PADDING = 0x3d
const INVALID = 0x80

const VALUES = new Uint8Array(256).fill(INVALID)
for (const [value, letter] of ALPHABET.entries()) VALUES[letter] = value

export function encodeBase64(bytes: Uint8Array): Buffer {
  const encoded = allocateSecret(Math.ceil(bytes.length / 3) * 4).fill(PADDING)
  let at = 0
  let bits = 0
  for (let index = 0; index < bytes.length; index += 1) {
    const place = index % 3
    bits = ((bits << 8) | (bytes[index] ?? 0)) & 0xffff
    encoded[at++] = letterOf(bits >> (2 + 2 * place))
    if (place === 2) encoded[at++] = letterOf(bits)
  }
  const rest = bytes.length % 3
  if (rest > 0) encoded[at] = letterOf(bits << (6 - 2 * rest))
  return encoded
}

/** Returns undefined for anything but complete base64 with its padding, where Node.js returns a part or guesses. */
export function decodeBase64(text: Uint8Array): Buffer | undefined {
  if (text.length % 4 !== 0) return undefined
  const letters = text.length - countPadding(text)
  const decoded = allocateSecret(Math.floor((letters * 3) / 4))
  let faults = 0
  let bits = 0
  let at = 0
  for (let index = 0; index < letters; index += 1) {
    const place = index % 4
    const value = VALUES[text[index] ?? 0] ?? INVALID
    faults |= value
    bits = ((bits << 6) | value) & 0xffff
    if (place > 0) decoded[at++] = bits >> (6 - 2 * place)
  }
  if ((faults & INVALID) === 0) return decoded
  decoded.fill(0)
  return undefined
}

function countPadding(text: Uint8Array): number {
  if (text.at(-1) !== PADDING) return 0
  return text.at(-2) === PADDING ? 2 : 1
}

function letterOf(bits: number): number {
  return ALPHABET[bits & 0x3f] ?? 0
}
