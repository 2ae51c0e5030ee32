/** `{{ name }}` or `{{ name | encoding }}`. */
export interface Placeholder {
  readonly name: string
  readonly encoding: string | undefined
}

/** Literal text, or a placeholder. */
export type TextPart = string | Placeholder

export interface PlaceholderFault {
  /** Completes the name of the field: "has …; write …". */
  readonly fault: string
}

const LONGEST = 200
const PLACEHOLDER = /^([A-Za-z_][\w-]*)(?:\s*\|\s*(\w+))?$/
/** Two literal braces, written as in Go templates and Helm. */
const BRACES = '"{{"'

/** Splits a text with placeholders. The time is proportional to the length of the text. */
export function splitPlaceholders(text: string): readonly TextPart[] | PlaceholderFault {
  const parts: TextPart[] = []
  let position = 0
  for (;;) {
    const start = text.indexOf('{{', position)
    if (start < 0) break
    const end = text.indexOf('}}', start)
    if (end < 0) return faultAt(text, start, 'has {{ without }}')
    const inner = text.slice(start + 2, end).trim()
    const found = inner.length > LONGEST ? undefined : readPlaceholder(inner)
    if (found === undefined) return faultAt(text, start, 'has a {{ … }} that is not a name')
    parts.push(text.slice(position, start), found)
    position = end + 2
  }
  return [...parts, text.slice(position)].filter((part) => part !== '')
}

function readPlaceholder(inner: string): TextPart | undefined {
  if (inner === BRACES) return '{{'
  const [, name, encoding] = PLACEHOLDER.exec(inner) ?? []
  return name === undefined ? undefined : { name, encoding }
}

function faultAt(text: string, offset: number, fault: string): PlaceholderFault {
  const line = text.slice(0, offset).split('\n').length
  const place = text.includes('\n') ? ` (line ${String(line)} of the text)` : ''
  return { fault: `${fault}${place}; write {{ name }}, and {{ ${BRACES} }} for two literal braces` }
}
