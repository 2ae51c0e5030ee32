/** A request body as undici sends it. */
export interface EncodedBody {
  readonly content: string | Buffer | null
  /** Zeroes what is secret in it. */
  readonly wipe: () => void
}

const [OPEN, COMMA, QUOTE] = [Buffer.from('{'), Buffer.from(','), Buffer.from('"')]

/**
 * Encodes a request body as JSON, unless it is a Buffer, which is sent unchanged. A field that is a Buffer is the text of a JSON
 * string that needs no escapes, such as base64: it never becomes a string of JavaScript, which cannot be zeroed.
 */
export function encodeBody(body: object | undefined): EncodedBody {
  if (body === undefined) return { content: null, wipe: () => undefined }
  if (isBytes(body)) return { content: body, wipe: () => undefined }
  const fields = Object.entries(body) as [string, unknown][]
  const rest = JSON.stringify(Object.fromEntries(fields.filter(([, value]) => !isBytes(value))))
  const secrets = fields.flatMap(([name, value]) =>
    isBytes(value) ? [Buffer.from(`${JSON.stringify(name)}:"`), value, QUOTE, COMMA] : [],
  )
  if (secrets.length === 0) return { content: rest, wipe: () => undefined }
  if (rest === '{}') secrets.pop()
  const content = Buffer.concat([OPEN, ...secrets, Buffer.from(rest.slice(1))])
  return { content, wipe: () => void content.fill(0) }
}

function isBytes(value: unknown): value is Buffer {
  return Buffer.isBuffer(value)
}
