import { allocateSecret } from './secret-bytes.ts'

const [QUOTE, BACKSLASH, FIRST_PRINTABLE] = [0x22, 0x5c, 0x20]
const NONE = Buffer.alloc(0)
/** The escapes of RFC 8259, section 7, that have a letter. */
const LETTERS: ReadonlyMap<number, string> = new Map([
  [0x08, 'b'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0c, 'f'],
  [0x0d, 'r'],
  [QUOTE, '"'],
  [BACKSLASH, '\\'],
])

/** The bytes for each byte of a text. Looked up, because a text can have a million bytes. */
const ESCAPES: readonly Uint8Array[] = Array.from({ length: 256 }, (_none, byte) => escapeOf(byte))

/** Returns UTF-8 text as JSON text in quotes. Unlike JSON.stringify it makes no string, which could not be zeroed. */
export function encodeJsonText(text: Uint8Array): Buffer {
  const result = allocateSecret(lengthOf(text)).fill(QUOTE)
  let position = 1
  for (let index = 0; index < text.length; index += 1) {
    const escape = ESCAPES[text[index] ?? 0] ?? NONE
    for (let at = 0; at < escape.length; at += 1) result[position++] = escape[at] ?? 0
  }
  return result
}

function lengthOf(text: Uint8Array): number {
  let length = 2
  for (let index = 0; index < text.length; index += 1)
    length += (ESCAPES[text[index] ?? 0] ?? NONE).length
  return length
}

function escapeOf(byte: number): Uint8Array {
  const letter = LETTERS.get(byte)
  if (letter !== undefined) return Buffer.from(`\\${letter}`)
  return byte < FIRST_PRINTABLE
    ? Buffer.from(`\\u${byte.toString(16).padStart(4, '0')}`)
    : Buffer.from([byte])
}
