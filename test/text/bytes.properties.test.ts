import { deepStrictEqual, equal, ok } from 'node:assert/strict'
import fc from 'fast-check'

import { decodeBase64, encodeBase64 } from '../../src/text/base64-bytes.ts'
import { decodeHex, encodeHex } from '../../src/text/hex-bytes.ts'
import { encodeJsonText } from '../../src/text/json-bytes.ts'
import { escapeControls, oneLine } from '../../src/text/one-line.ts'
import { quoted } from '../../src/text/quoted.ts'
import { holds } from '../property.ts'

const bytes = fc.uint8Array({ maxLength: 70 }).map((array) => Buffer.from(array))
const text = fc.string({ unit: 'binary', maxLength: 60 })
const letters = (...list: string[]) => fc.string({ unit: fc.constantFrom(...list), maxLength: 12 })
const almostBase64 = letters('A', 'B', '+', '/', '=', '-', '_', '\n', ' ', 'é')
const almostHex = letters('0', '9', 'a', 'f', 'A', 'F', 'g', 'x', ' ')

holds('bytes are encoded as by Node.js, and decoded to themselves', [bytes], (plain) => {
  equal(encodeBase64(plain).toString(), plain.toString('base64'))
  equal(encodeHex(plain).toString(), plain.toString('hex'))
  deepStrictEqual(decodeBase64(encodeBase64(plain)), plain)
  deepStrictEqual(decodeHex(encodeHex(plain)), plain)
  deepStrictEqual(decodeHex(Buffer.from(plain.toString('hex').toUpperCase())), plain)
})

holds(
  'only complete base64 is decoded: letters of its alphabet in groups of four, with padding at the end',
  [almostBase64],
  (encoded) => {
    const isValid = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(encoded)
    const decoded = decodeBase64(Buffer.from(encoded))
    deepStrictEqual(decoded, isValid ? Buffer.from(encoded, 'base64') : undefined)
  },
  1_500,
)

holds(
  'only pairs of hexadecimal digits are decoded',
  [almostHex],
  (encoded) => {
    const isValid = /^(?:[0-9a-fA-F]{2})*$/.test(encoded)
    deepStrictEqual(
      decodeHex(Buffer.from(encoded)),
      isValid ? Buffer.from(encoded, 'hex') : undefined,
    )
  },
  600,
)

holds('text as JSON bytes is read by JSON.parse as the same text', [text], (plain) => {
  equal(JSON.parse(encodeJsonText(Buffer.from(plain)).toString()), plain)
})

/** What a terminal would obey. */
const CONTROLS = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/u

holds(
  'untrusted text in a message is one line without control characters; different names look different',
  [
    text,
    text,
    fc.string({ unit: fc.constantFrom('a', '\u202e', '\u009b', '\n', '\\', 'u'), maxLength: 8 }),
  ],
  (plain, other, hostile) => {
    for (const each of [plain, hostile]) {
      for (const shown of [quoted(each), oneLine(each, 50), escapeControls(each)])
        ok(!CONTROLS.test(shown), JSON.stringify(shown))
      ok(oneLine(each, 50).length <= 50)
      equal(JSON.parse(quoted(each)), each)
    }
    equal(quoted(plain) === quoted(other), plain === other)
  },
)
