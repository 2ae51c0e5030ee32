/**
 * Encodes a list of fields as one byte string; different lists never have the same encoding. It is a domain
 * separator followed by the fields, each after its length (4 bytes, big-endian).
 */
export function encodeCanonically(
  domain: string,
  fields: readonly (string | Uint8Array)[],
): Buffer {
  const parts: Uint8Array[] = []
  for (const field of [domain, ...fields]) {
    const bytes = typeof field === 'string' ? Buffer.from(field, 'utf8') : field
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.byteLength)
    parts.push(length, bytes)
  }
  return Buffer.concat(parts)
}
