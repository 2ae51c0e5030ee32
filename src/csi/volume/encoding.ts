import { isUtf8 } from 'node:buffer'
import { BridgeError } from '../../errors.ts'
import type { Decoding, Encoding } from '../class/object-types.ts'

/** Go's decoders, which other providers use, ignore line ends in base64. */
const LINE_END = /[\r\n]/g
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const HEX = /^(?:[0-9A-Fa-f]{2})*$/

/**
 * Returns the bytes of a file. Takes over `bytes`: the result is the same buffer, or `bytes` is zeroed. Throws
 * OBJECT_UNSUITABLE if the encoding is `utf8` and the bytes are not UTF-8 text.
 */
export function encodeContent(bytes: Buffer, encoding: Encoding): Buffer {
  if (encoding === 'raw') return bytes
  if (encoding !== 'utf8') return replace(bytes, Buffer.from(bytes.toString(encoding)))
  if (isUtf8(bytes)) return bytes
  bytes.fill(0)
  throw new BridgeError(
    'OBJECT_UNSUITABLE',
    'the value is not UTF-8 text; use encoding: raw, base64 or hex',
  )
}

/** Decodes text. Takes over `bytes`, like {@link encodeContent}. Throws OBJECT_UNSUITABLE for any other text. */
export function decodeContent(bytes: Buffer, decoding: Decoding): Buffer {
  const text = bytes.toString('latin1').replaceAll(LINE_END, '')
  if ((decoding === 'hex' ? HEX : BASE64).test(text))
    return replace(bytes, Buffer.from(text, decoding))
  bytes.fill(0)
  const form = decoding === 'hex' ? 'hexadecimal digits' : 'standard base64 with padding'
  throw new BridgeError(
    'OBJECT_UNSUITABLE',
    `the value is not ${form}, which decode: ${decoding} requires; correct decode, or remove it`,
  )
}

function replace(old: Buffer, result: Buffer): Buffer {
  old.fill(0)
  return result
}
