/** The length to which messages truncate untrusted text. */
const MAX_LENGTH = 200

/** Control characters, and what changes the order or lines of the text around it. */
export const UNPRINTABLE = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/u
const ALL_UNPRINTABLE = new RegExp(UNPRINTABLE, 'gu')

/** Untrusted text in quotes, on one line. */
export function quoted(text: string): string {
  return quotedStart(text, MAX_LENGTH)
}

/** At most this many characters of an untrusted text in quotes, on one line. */
export function quotedStart(text: string, maxLength: number): string {
  const shown = JSON.stringify(text.length > maxLength ? `${text.slice(0, maxLength)}…` : text)
  // JSON escapes only the first 32 of them; a terminal also obeys U+0080 to U+009F.
  return shown.replaceAll(ALL_UNPRINTABLE, escape)
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
