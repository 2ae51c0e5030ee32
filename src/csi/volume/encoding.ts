import { isUtf8 } from 'node:buffer'
import { BridgeError } from '../../errors.ts'
import { decodeBase64, encodeBase64 } from '../../text/base64-bytes.ts'
import { decodeHex, encodeHex } from '../../text/hex-bytes.ts'
import type { Decoding, Encoding } from '../class/object-types.ts'

const [CARRIAGE_RETURN, LINE_FEED] = [0x0d, 0x0a]

/**
 * Returns the bytes of a file. Takes over `bytes`: the result is the same buffer, or `bytes` is zeroed. Throws
 * OBJECT_UNSUITABLE if the encoding is `utf8` and the bytes are not UTF-8 text.
 */
export function encodeContent(bytes: Buffer, encoding: Encoding): Buffer {
  if (encoding === 'raw') return bytes
  if (encoding === 'base64') return replace(bytes, encodeBase64(bytes))
  if (encoding === 'hex') return replace(bytes, encodeHex(bytes))
  if (isUtf8(bytes)) return bytes
  bytes.fill(0)
  throw new BridgeError(
    'OBJECT_UNSUITABLE',
    'the value is not UTF-8 text; use encoding: raw, base64 or hex',
  )
}

/** Decodes text. Takes over `bytes`, like {@link encodeContent}. Throws OBJECT_UNSUITABLE for any other text. */
export function decodeContent(bytes: Buffer, decoding: Decoding): Buffer {
  const text = withoutLineEnds(bytes)
  const decoded = decoding === 'hex' ? decodeHex(text) : decodeBase64(text)
  bytes.fill(0)
  if (decoded !== undefined) return decoded
  const form = decoding === 'hex' ? 'hexadecimal digits' : 'standard base64 with padding'
  throw new BridgeError(
    'OBJECT_UNSUITABLE',
    `the value is not ${form}, which decode: ${decoding} requires; correct decode, or remove it`,
  )
}

/** Moves the others together, in place. Go's decoders, which other providers use, ignore line ends in base64. */
function withoutLineEnds(bytes: Buffer): Buffer {
  let length = 0
  for (const byte of bytes) {
    if (byte !== CARRIAGE_RETURN && byte !== LINE_FEED) bytes[length++] = byte
  }
  return bytes.subarray(0, length)
}

function replace(old: Buffer, result: Buffer): Buffer {
  old.fill(0)
  return result
}
