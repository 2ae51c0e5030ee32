import {
  HIGH_BIT,
  KEY_TAG,
  VALUE_TAG,
  type FlatField,
  type FlatForm,
  type FlatValue,
} from './form.ts'

/** A message of KMS has three annotations. */
const MAX_ENTRIES = 16
/** An assignment to it would set the prototype. */
const PROTOTYPE = '__proto__'
const NO_BYTES = new Uint8Array(0)

/**
 * Decodes what clients written in Go send: each field once, fields of at most 16 KiB, strings in ASCII, map entries with key and
 * value. Undefined for anything else, valid or not: protobuf-es then decides. Bytes are views of the message.
 */
export function decodeFlat(form: FlatForm, bytes: Buffer): object | undefined {
  const message: Record<string, FlatValue> = { $typeName: form.typeName }
  for (const { name, kind } of form.fields) message[name] = emptyOf(kind)
  const reader = new Reader(bytes)
  let seen = 0
  let entries = 0
  while (reader.hasMore) {
    const field = form.byTag[reader.byte()]
    if (field === undefined) return undefined
    if (field.kind === 'map') {
      entries += 1
      const isRead = reader.entry(message[field.name] as Record<string, Uint8Array>)
      if (!isRead || entries > MAX_ENTRIES) return undefined
    } else {
      const bit = 1 << (field.tag >> 3)
      const value = field.kind === 'string' ? reader.ascii() : reader.bytes()
      if (value === undefined || (seen & bit) !== 0) return undefined
      seen |= bit
      message[field.name] = value
    }
  }
  return message
}

function emptyOf(kind: FlatField['kind']): FlatValue {
  if (kind === 'string') return ''
  return kind === 'bytes' ? NO_BYTES : {}
}

class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get hasMore(): boolean {
    return this.#at < this.#bytes.length
  }

  /** A tag, or 0 at the end, which is no tag. */
  byte(): number {
    return this.#bytes[this.#at++] ?? 0
  }

  bytes(): Uint8Array | undefined {
    const end = this.#findEnd()
    if (end === undefined) return undefined
    const from = this.#at
    this.#at = end
    return this.#bytes.subarray(from, end)
  }

  ascii(): string | undefined {
    const end = this.#findEnd()
    if (end === undefined) return undefined
    const from = this.#at
    for (; this.#at < end; this.#at += 1)
      if (((this.#bytes[this.#at] ?? 0) & HIGH_BIT) !== 0) return undefined
    return this.#bytes.toString('latin1', from, end)
  }

  /** Adds a map entry that has its key, its value, and nothing else; returns whether it does. */
  entry(target: Record<string, Uint8Array>): boolean {
    const end = this.#findEnd()
    if (end === undefined || this.byte() !== KEY_TAG) return false
    const key = this.ascii()
    if (key === undefined || key === PROTOTYPE || this.byte() !== VALUE_TAG) return false
    const value = this.bytes()
    if (value === undefined || this.#at !== end) return false
    target[key] = value
    return true
  }

  /** Reads a length, and returns the end of that many bytes. */
  #findEnd(): number | undefined {
    let length = this.#bytes[this.#at++] ?? HIGH_BIT
    if ((length & HIGH_BIT) !== 0) {
      const high = this.#bytes[this.#at++] ?? HIGH_BIT
      if ((high & HIGH_BIT) !== 0) return undefined
      length = (length & ~HIGH_BIT) | (high << 7)
    }
    const end = this.#at + length
    return end <= this.#bytes.length ? end : undefined
  }
}
