import { HIGH_BIT, KEY_TAG, MAX_LENGTH, VALUE_TAG, type FlatForm } from './form.ts'

/** Bytes of a tag and a length. */
const MAX_PREFIX_BYTES = 3

/** Encodes a message as protobuf-es does. Undefined if it is longer than 16 KiB. Throws if a field has another type. */
export function encodeFlat({ fields }: FlatForm, message: object): Buffer | undefined {
  const values = message as Readonly<Record<string, unknown>>
  let capacity = 0
  for (const { name, kind } of fields) capacity += CAPACITY[kind](values[name])
  if (capacity > MAX_LENGTH) return undefined
  const target = Buffer.allocUnsafe(capacity)
  let end = 0
  for (const { name, tag, kind } of fields) {
    const value = values[name]
    if (kind === 'map') end = writeEntries(target, end, tag, value as Record<string, Uint8Array>)
    else if ((value as string | Uint8Array).length > 0)
      end = writeField(target, end, tag, value as string | Uint8Array)
  }
  return target.subarray(0, end)
}

const CAPACITY = {
  string: (value: unknown) => {
    if (typeof value === 'string') return MAX_PREFIX_BYTES + Buffer.byteLength(value)
    throw new TypeError('a field is not a string')
  },
  bytes: (value: unknown) => {
    if (value instanceof Uint8Array) return MAX_PREFIX_BYTES + value.byteLength
    throw new TypeError('a field is not a Uint8Array')
  },
  map: (value: unknown) => {
    let bytes = 0
    for (const [key, content] of Object.entries(value as object))
      bytes += MAX_PREFIX_BYTES + CAPACITY.string(key) + CAPACITY.bytes(content)
    return bytes
  },
}

/** Returns where the field ends, as do the functions after it. */
function writeField(
  target: Buffer,
  start: number,
  tag: number,
  value: string | Uint8Array,
): number {
  const isText = typeof value === 'string'
  const length = isText ? Buffer.byteLength(value) : value.byteLength
  const from = writePrefix(target, start, tag, length)
  if (isText) target.write(value, from)
  else target.set(value, from)
  return from + length
}

function writeEntries(
  target: Buffer,
  start: number,
  tag: number,
  entries: Readonly<Record<string, Uint8Array>>,
): number {
  let end = start
  for (const [key, value] of Object.entries(entries)) {
    const keyBytes = Buffer.byteLength(key)
    const length =
      prefixBytes(keyBytes) + keyBytes + prefixBytes(value.byteLength) + value.byteLength
    end = writePrefix(target, end, tag, length)
    end = writeField(target, end, KEY_TAG, key)
    end = writeField(target, end, VALUE_TAG, value)
  }
  return end
}

function writePrefix(target: Buffer, start: number, tag: number, length: number): number {
  let at = start
  target[at++] = tag
  if (length >= HIGH_BIT) {
    target[at++] = (length & ~HIGH_BIT & 0xff) | HIGH_BIT
    target[at++] = length >> 7
  } else target[at++] = length
  return at
}

function prefixBytes(length: number): number {
  return length < HIGH_BIT ? MAX_PREFIX_BYTES - 1 : MAX_PREFIX_BYTES
}
