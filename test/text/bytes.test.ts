import { randomBytes } from 'node:crypto'
import { test } from 'tap'
import { decodeBase64, encodeBase64 } from '../../src/text/base64-bytes.ts'
import { decodeHex, encodeHex } from '../../src/text/hex-bytes.ts'

void test('bytes of every length are encoded as Node.js does, and decoded again', (t) => {
  for (let length = 0; length < 200; length += 1) {
    const bytes = randomBytes(length)
    t.equal(encodeBase64(bytes).toString(), bytes.toString('base64'))
    t.same(decodeBase64(Buffer.from(bytes.toString('base64'))), bytes)
  }
  t.end()
})

void test('what is not complete base64 is not decoded', (t) => {
  for (const text of [
    'A',
    'AA',
    'AAA',
    'AA=',
    'A===',
    '====',
    'AA=A',
    'A=AA',
    'AAAA====',
    'AA A',
    'AA\n=',
    'AA-_',
    'AAA\u00e9',
  ])
    t.equal(decodeBase64(Buffer.from(text)), undefined, text)
  t.end()
})

void test('hexadecimal digits are encoded as Node.js does, and decoded in both cases', (t) => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_none, value) => value))
  t.equal(encodeHex(bytes).toString(), bytes.toString('hex'))
  t.same(decodeHex(Buffer.from(bytes.toString('hex'))), bytes)
  t.same(decodeHex(Buffer.from(bytes.toString('hex').toUpperCase())), bytes)
  for (const text of ['0', '0g', 'g0', '00 0', '0x00'])
    t.equal(decodeHex(Buffer.from(text)), undefined, text)
  t.end()
})
