/** A request body as undici sends it. */
export interface EncodedBody {
  readonly content: string | Buffer | null
  /** Zeroes what is secret in it. */
  readonly wipe: () => void
}

/**
 * Encodes a request body as JSON, unless it is a Buffer, which is sent unchanged. A Buffer in it is the text of a JSON string that
 * needs no escapes, such as base64: it never becomes a string of JavaScript, which cannot be zeroed.
 */
export function encodeBody(body: object | undefined): EncodedBody {
  if (body === undefined) return { content: null, wipe: () => undefined }
  if (isBytes(body) || !hasBytes(body))
    return { content: isBytes(body) ? body : JSON.stringify(body), wipe: () => undefined }
  const text = new JsonText()
  text.add(body)
  const content = text.join()
  return { content, wipe: () => void content.fill(0) }
}

/** JSON with Buffers in it, as strings and the bytes between them. */
class JsonText {
  readonly #parts: (string | Buffer)[] = []
  #last = ''

  add(value: unknown): void {
    if (isBytes(value)) {
      this.#parts.push(`${this.#last}"`, value)
      this.#last = '"'
    } else if (!hasBytes(value)) this.#last += JSON.stringify(value)
    else if (Array.isArray(value)) this.#addItems(value)
    else this.#addFields(value)
  }

  join(): Buffer {
    const parts = [...this.#parts, this.#last].map((part) =>
      typeof part === 'string' ? Buffer.from(part) : part,
    )
    return Buffer.concat(parts)
  }

  #addItems(items: readonly unknown[]): void {
    for (const [index, item] of items.entries()) {
      this.#last += index === 0 ? '[' : ','
      this.add(item)
    }
    this.#last += ']'
  }

  #addFields(fields: object): void {
    const present = Object.entries(fields).filter(([, value]) => value !== undefined)
    for (const [index, [name, value]] of present.entries()) {
      this.#last += `${index === 0 ? '{' : ','}${JSON.stringify(name)}:`
      this.add(value)
    }
    this.#last += '}'
  }
}

function hasBytes(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  return isBytes(value) || Object.values(value).some(hasBytes)
}

function isBytes(value: unknown): value is Buffer {
  return Buffer.isBuffer(value)
}
