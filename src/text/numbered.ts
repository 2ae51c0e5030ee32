const MAX_SHOWN = 8

/** Joins texts in one line: numbered if there are several. After the first eight, only the number of the others follows. */
export function joinNumbered(texts: readonly string[]): string {
  const rest = texts.length - MAX_SHOWN
  const shown = rest > 0 ? [...texts.slice(0, MAX_SHOWN), `${String(rest)} more`] : texts
  if (shown.length === 1) return shown.join('')
  return shown.map((text, index) => `(${String(index + 1)}) ${text}`).join(' ')
}
