/** The driver sends a few dozen attributes, and a token for each audience. */
const MAX_MEMBERS = 2_000

const QUOTE = 0x22
const COMMA = 0x2c
const LIST = 0x5b
const BACKSLASH = 0x5c
const MAPPING = 0x7b

/**
 * Parses JSON; undefined for a text that is not JSON or has more than 2,000 members. A text with as many members as
 * fit into it would take seconds, and more memory than the process has. The parser's error quotes the text, so it is not kept.
 */
export function parseBoundedJson(text: string): unknown {
  if (!hasFewMembers(text, MAX_MEMBERS)) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Whether a JSON text has at most this many fields and list items. The time is proportional to its length. */
export function hasFewMembers(text: string, most: number): boolean {
  let members = 0
  let isInText = false
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) isInText = !isInText
    else if (isInText) at += code === BACKSLASH ? 1 : 0
    else if (code === COMMA || code === LIST || code === MAPPING) {
      members += 1
      if (members > most) return false
    }
  }
  return true
}
