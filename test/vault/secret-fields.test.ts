import { test } from 'tap'
import type { VaultOperation } from '../../src/vault/client/request.ts'
import { parseSealed, takeSecrets } from '../../src/vault/client/secret-fields.ts'

function seal(operation: VaultOperation, body: unknown) {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  return { bytes, sealed: takeSecrets(bytes, operation) }
}

const base64 = (text: string) => Buffer.from(text).toString('base64')

void test('a plaintext is never part of a string, and the bytes of the answer are zeroed', (t) => {
  const { bytes, sealed } = seal('decrypt', { data: { plaintext: base64('hunter2') } })
  t.notMatch(sealed.text, base64('hunter2'))
  t.same(parseSealed(sealed), { data: { plaintext: Buffer.from('hunter2') } })
  t.ok(bytes.every((byte) => byte === 0))
  t.end()
})

void test('each value of a batch keeps its place', (t) => {
  const values = Array.from({ length: 64 }, (_none, index) => `value ${String(index)}`)
  const results: object[] = values.map((value) => ({ plaintext: base64(value) }))
  results.splice(10, 1, { error: 'invalid "plaintext":"AAAA"' })
  const body = { request_id: 'r', data: { batch_results: results } }
  const { sealed } = seal('decrypt', body)
  const expected: object[] = values.map((value) => ({ plaintext: Buffer.from(value) }))
  expected.splice(10, 1, { error: 'invalid "plaintext":"AAAA"' })
  t.same(parseSealed(sealed), { request_id: 'r', data: { batch_results: expected } })
  t.end()
})

void test('what is written in another way stays in the text', (t) => {
  const texts = [
    '{"data":{"plaintext": "c2VjcmV0"}}',
    '{"data":{"plaintext":"not base64"}}',
    '{"data":{"plaintext":"#0"}}',
    '{"data":{"plaintext":""}}',
    '{"data":{"plaintext":1}}',
    '{"data":{"note":"a \\"plaintext\\":\\"c2VjcmV0\\""}}',
    '{"data":null}',
    '[]',
  ]
  for (const text of texts)
    t.same(parseSealed(seal('decrypt', text).sealed), JSON.parse(text), text)
  for (const text of ['{"data":{"plaintext":"c2Vj', '{"data":{"plaintext":"'])
    t.equal(seal('decrypt', text).sealed.text, text)
  t.end()
})

void test('exported keys are taken as text, with their newlines', (t) => {
  const keys = { 1: base64('k'.repeat(32)), 12: '-----BEGIN X-----\nAAAA\n-----END X-----\n' }
  const { sealed, bytes } = seal('export_key', { data: { keys, name: 'k', type: 'rsa-2048' } })
  const expected = { 1: Buffer.from(keys[1]), 12: Buffer.from(keys[12]) }
  t.same(parseSealed(sealed), { data: { keys: expected, name: 'k', type: 'rsa-2048' } })
  t.equal(sealed.secrets.length, 2)
  t.ok(bytes.every((byte) => byte === 0))
  t.end()
})

void test('exported keys that are written in another way stay in the text', (t) => {
  const texts = [
    '{"data":{"keys":{"1":"a\\u003cb"}}}',
    '{"data":{"keys":{"1": "abcd"}}}',
    '{"data":{"keys":{"1":1700000000}}}',
    '{"data":{"keys":{}}}',
    '{"data":{"keys":{"1":""}}}',
  ]
  for (const text of texts)
    t.same(parseSealed(seal('export_key', text).sealed), JSON.parse(text), text)
  for (const text of ['{"data":{"keys":{"1":"ab', '{"data":{"keys":{"1', '{"data":{"keys":{"'])
    t.equal(seal('export_key', text).sealed.text, text)
  t.end()
})

void test('other answers are not changed', (t) => {
  const body = { data: { plaintext: base64('x'), keys: { 1: 'abcd' } } }
  t.same(parseSealed(seal('read_setting', body).sealed), body)
  t.end()
})
