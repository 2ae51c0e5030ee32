import { test } from 'tap'
import { encodeJsonText } from '../../src/text/json-bytes.ts'

void test('text is encoded as JSON.stringify does', (t) => {
  const ascii = Array.from({ length: 0x80 }, (_none, code) => String.fromCharCode(code)).join('')
  for (const text of ['', 'plain', 'a "quoted" \\ text', ascii, 'grüß 🔑 \u2028\u2029\u007f\ufeff'])
    t.ok(String(encodeJsonText(Buffer.from(text))) === JSON.stringify(text))
  t.end()
})
