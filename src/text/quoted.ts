/** The length to which messages truncate untrusted text. */
const MAX_LENGTH = 200

/** Untrusted text in quotes, on one line. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text)
}
