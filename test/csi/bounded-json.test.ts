import { test } from 'tap'
import { parseBoundedJson } from '../../src/csi/bounded-json.ts'

void test('JSON is parsed if it has few members, no matter what its texts contain', (t) => {
  const texts = ['{}', 'null', '1', '"a"', '{"a":"b"}', '{"a":["b",{"c":null}]}', '"\\\\"', '"\\""']
  for (const text of texts) t.same(parseBoundedJson(text), JSON.parse(text), text)
  const inner = JSON.stringify({
    objects: JSON.stringify(Array.from({ length: 5_000 }, () => ({ path: 'a\\"', key: '[,{' }))),
  })
  t.same(parseBoundedJson(inner), JSON.parse(inner))
  const few = `[${'1,'.repeat(1_999)}1]`
  t.same(parseBoundedJson(few), JSON.parse(few))
  t.end()
})

void test('JSON with many members, and what is not JSON, is not parsed', (t) => {
  const texts = [
    `[${'1,'.repeat(2_000)}1]`,
    `{${'"a":"",'.repeat(2_001)}"b":""}`,
    '['.repeat(2_001),
    '{"a":'.repeat(3_000),
  ]
  for (const text of [...texts, '', '{', '"', '"\\', 'a', '{"a":}'])
    t.equal(parseBoundedJson(text), undefined, text.slice(0, 20))
  t.end()
})
