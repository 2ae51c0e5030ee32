const MAX_SHOWN = 8

/** Joins texts in one line: numbered if there are several. After the first eight, only the number of the others follows. */
export function joinNumbered(texts: readonly string[]): string {
  if (texts.length === 1) return texts.join('')
  const rest = texts.length - MAX_SHOWN
  const shown = texts.slice(0, MAX_SHOWN).map((text, index) => `(${String(index + 1)}) ${text}`)
  return [...shown, ...(rest > 0 ? [`and ${String(rest)} more`] : [])].join(' ')
}
