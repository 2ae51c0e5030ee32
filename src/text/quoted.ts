/** Unverified text from outside: a message shows only so much of it. */
const MAX_SHOWN = 200

/** Text from outside, in quotes and on one line. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text)
}
