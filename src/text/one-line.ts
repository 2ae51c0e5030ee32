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

/** An untrusted name in full, with control characters escaped, so that different names look different. */
export function escapeControls(text: string): string {
  return text.replaceAll(
    UNSAFE,
    (character) => `\\u${character.codePointAt(0)?.toString(16).padStart(4, '0') ?? ''}`,
  )
}
