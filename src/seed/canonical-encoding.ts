/**
 * One byte string for a list of fields, such that different lists never give the same bytes: a domain
 * separator, then each field behind its length (4 bytes, big-endian).
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
