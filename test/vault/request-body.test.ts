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

void test('what is sent is zeroed afterwards, and what the sender owns is not', async (t) => {
  const bytes = Buffer.from('c2VlZA==')
  const { content, wipe } = encodeBody({ bytes, one: 1 })
  t.ok(Buffer.isBuffer(content))
  wipe()
  t.notMatch(String(content), 'c2VlZA')
  t.equal(String(bytes), 'c2VlZA==')
  encodeBody({ one: 1 }).wipe()
})
