import { test } from 'tap'

import { encodeBody } from '../../src/vault/client/request-body.ts'

const text = (body: object) => String(encodeBody(body).content)

void test('a body is JSON; bytes in it are the text of a string', async (t) => {
  t.equal(encodeBody(undefined).content, null)
  t.equal(text({}), '{}')
  t.equal(text({ one: 1, no: undefined, two: ['ü"'] }), '{"one":1,"two":["ü\\""]}')
  const bytes = Buffer.from('c2VlZA==')
  for (const body of [{ bytes }, { bytes, other: bytes }, { one: 1, bytes, two: 2, no: undefined }])
    t.same(
      JSON.parse(text(body)),
      JSON.parse(
        JSON.stringify({
          ...body,
          bytes: 'c2VlZA==',
          ...('other' in body && { other: 'c2VlZA==' }),
        }),
      ),
    )
})

void test('bytes in a list of objects are the text of strings, too', async (t) => {
  const [one, two] = [Buffer.from('b25l'), Buffer.from('dHdv')]
  const item = { associated_data: 'YWFk', key_version: 3, no: undefined }
  const body = {
    batch_input: [
      { plaintext: one, ...item },
      { ...item, plaintext: two },
    ],
    more: [one, 1],
  }
  const { content, wipe } = encodeBody(body)
  const sent = { associated_data: 'YWFk', key_version: 3 }
  t.same(JSON.parse(String(content)), {
    batch_input: [
      { plaintext: 'b25l', ...sent },
      { ...sent, plaintext: 'dHdv' },
    ],
    more: ['b25l', 1],
  })
  wipe()
  t.notMatch(String(content), /b25l|dHdv/)
  t.equal(String(one), 'b25l')
})

void test('what is sent is zeroed afterwards, and what the sender owns is not', async (t) => {
  const bytes = Buffer.from('c2VlZA==')
  const { content, wipe } = encodeBody({ bytes, one: 1 })
  t.ok(Buffer.isBuffer(content))
  wipe()
  t.notMatch(String(content), 'c2VlZA')
  t.equal(String(bytes), 'c2VlZA==')
  encodeBody({ one: 1 }).wipe()
})
