const [QUOTE, BACKSLASH, FIRST_PRINTABLE] = [0x22, 0x5c, 0x20]
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

/** Returns UTF-8 text as JSON text in quotes. Unlike JSON.stringify it makes no string, which could not be zeroed. */
export function encodeJsonText(text: Uint8Array): Buffer {
  const length = text.reduce((sum, byte) => sum + (escapeOf(byte)?.length ?? 1), 2)
  const result = Buffer.alloc(length, QUOTE)
  let position = 1
  for (const byte of text) {
    const escape = escapeOf(byte)
    if (escape === undefined) result[position++] = byte
    else position += result.write(escape, position, 'latin1')
  }
  return result
}

function escapeOf(byte: number): string | undefined {
  const letter = LETTERS.get(byte)
  if (letter !== undefined) return `\\${letter}`
  return byte < FIRST_PRINTABLE ? `\\u${byte.toString(16).padStart(4, '0')}` : undefined
}
