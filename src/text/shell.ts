/** Returns one word of a command for a POSIX shell, because a person may copy a command that contains a foreign text. */
export function quoteForShell(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}
