import type { KeyObject } from 'node:crypto'
import { BridgeError } from '../../errors.ts'

/** The names of the curves in SSH (RFC 5656, section 10.1), by their names in JWKs. */
const CURVES: Readonly<Record<string, string>> = {
  'P-256': 'nistp256',
  'P-384': 'nistp384',
  'P-521': 'nistp521',
}
const UNCOMPRESSED = Buffer.from([4])

/**
 * Returns a public key as a line of authorized_keys: RSA (RFC 4253, section 6.6), ECDSA (RFC 5656, section 3.1),
 * Ed25519 (RFC 8709, section 4). Throws OBJECT_UNSUITABLE for other types.
 */
export function encodeOpenSsh(publicKey: KeyObject, comment: string | undefined): Buffer {
  const fields = fieldsOf(publicKey)
  const blob = Buffer.concat(fields.map(withLength)).toString('base64')
  const [type = ''] = fields
  const end = comment === undefined ? '' : ` ${comment}`
  return Buffer.from(`${String(type)} ${blob}${end}\n`)
}

type Field = string | Buffer

function fieldsOf(publicKey: KeyObject): readonly Field[] {
  const { kty, crv = '', x = '', y = '', e = '', n = '' } = publicKey.export({ format: 'jwk' })
  if (kty === 'RSA') return ['ssh-rsa', toInteger(e), toInteger(n)]
  if (crv === 'Ed25519') return ['ssh-ed25519', decode(x)]
  const curve = CURVES[crv]
  if (curve === undefined)
    throw new BridgeError('OBJECT_UNSUITABLE', 'OpenSSH has no public keys of this type')
  return [`ecdsa-sha2-${curve}`, curve, Buffer.concat([UNCOMPRESSED, decode(x), decode(y)])]
}

/** A positive mpint (RFC 4251, section 5) starts with a zero byte if the highest bit of its first byte is set. */
function toInteger(base64: string): Buffer {
  const bytes = decode(base64)
  return (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.alloc(1), bytes])
}

function withLength(field: Field): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(Buffer.byteLength(field))
  return Buffer.concat([length, Buffer.from(field)])
}

function decode(base64: string): Buffer {
  return Buffer.from(base64, 'base64url')
}
