const END = /-----END [A-Z0-9 ]+-----/g

/**
 * The blocks of a PEM text whose first line matches `begin`, which has the flag `g`. One regular expression for whole blocks
 * would take quadratic time for a text of first lines.
 */
export function listPemBlocks(text: string, begin: RegExp): readonly string[] {
  const blocks: string[] = []
  for (let at = 0; ; at = END.lastIndex) {
    begin.lastIndex = at
    const start = begin.exec(text)
    if (start === null) return blocks
    END.lastIndex = begin.lastIndex
    if (!END.test(text)) return blocks
    blocks.push(text.slice(start.index, END.lastIndex))
  }
}
