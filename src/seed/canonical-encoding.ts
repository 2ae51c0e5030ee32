const LENGTH_BYTES = 4

/**
 * Encodes a list of fields as one byte string; different lists never have the same encoding. It is a domain separator followed by
 * the fields, each with its length (4 bytes, big-endian) in front.
 */
export function encodeCanonically(
  domain: string | Uint8Array,
  fields: readonly (string | Uint8Array)[],
): Buffer {
  let size = LENGTH_BYTES + lengthOf(domain)
  for (const field of fields) size += LENGTH_BYTES + lengthOf(field)
  const encoded = Buffer.allocUnsafe(size)
  let end = write(domain, encoded, 0)
  for (const field of fields) end = write(field, encoded, end)
  return encoded
}

function lengthOf(field: string | Uint8Array): number {
  return typeof field === 'string' ? Buffer.byteLength(field) : field.byteLength
}

/** Returns where the field ends. */
function write(field: string | Uint8Array, target: Buffer, start: number): number {
  const from = target.writeUInt32BE(lengthOf(field), start)
  if (typeof field === 'string') return from + target.write(field, from)
  target.set(field, from)
  return from + field.byteLength
}
