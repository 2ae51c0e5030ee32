/** Without slashes at the end. A regular expression for them would take quadratic time for a text that is full of slashes. */
export function trimSlashes(text: string): string {
  let length = text.length
  while (text[length - 1] === '/') length -= 1
  return text.slice(0, length)
}

/** Without slashes at both ends. */
export function stripSlashes(text: string): string {
  return trimSlashes(text.replace(/^\/+/, ''))
}
