/** Characters that could move the cursor, hide text or reorder it on a terminal. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** Untrusted text on one line: white space is collapsed, control characters are removed, and the result is truncated. */
export function oneLine(text: string, maxLength: number): string {
  return text
    .replaceAll(/[\s\p{Cc}]+/gu, ' ')
    .replaceAll(UNSAFE, '')
    .slice(0, maxLength)
    .trim()
}

/** An untrusted name in full, with control characters escaped as in JSON, so that different names look different. */
export function escapeControls(text: string): string {
  return text.replaceAll(UNSAFE, escape)
}

/** Text of several lines for a terminal. In JSON the escaped characters are still the same string. */
export function escapeLines(text: string): string {
  return text.replaceAll(UNSAFE, (character) =>
    character === '\n' || character === '\t' ? character : escape(character),
  )
}

/** Each UTF-16 code unit, because JSON has no longer escapes. */
function escape(character: string): string {
  const units = Array.from({ length: character.length }, (_none, at) => character.charCodeAt(at))
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
}
