const LENGTH_BYTES = 4

/**
 * Encodes a list of fields as one byte string; different lists never have the same encoding. It is a domain
 * separator followed by the fields, each after its length (4 bytes, big-endian).
 */
export function encodeCanonically(
  domain: string,
  fields: readonly (string | Uint8Array)[],
): Buffer {
  const parts = [domain, ...fields].map((field) =>
    typeof field === 'string' ? Buffer.from(field, 'utf8') : field,
  )
  const size = parts.reduce((sum, { byteLength }) => sum + LENGTH_BYTES + byteLength, 0)
  const encoded = Buffer.allocUnsafe(size)
  let end = 0
  for (const part of parts) {
    end = encoded.writeUInt32BE(part.byteLength, end)
    encoded.set(part, end)
    end += part.byteLength
  }
  return encoded
}
