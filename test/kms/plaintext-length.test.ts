import { test } from 'tap'

import { BridgeError } from '../../src/errors.ts'
import { refuseWrongCiphertexts, refuseWrongPlaintexts } from '../../src/kms/plaintext-length.ts'

const OVERHEAD_BYTES = 12 + 16

function sealed(bytes: number) {
  const ciphertext = `vault:v1:${Buffer.alloc(bytes + OVERHEAD_BYTES).toString('base64')}`
  return { ciphertext, associatedData: Buffer.alloc(0) }
}

void test('a plaintext of the length of its ciphertext passes, and so does an error', async (t) => {
  const error = new BridgeError('CIPHERTEXT_INVALID', 'changed')
  const seed = Buffer.alloc(32, 1)
  const results = refuseWrongPlaintexts([sealed(32), sealed(32)], [seed, error])
  t.equal(results[0], seed)
  t.equal(results[1], error)
  t.same(seed, Buffer.alloc(32, 1), 'and is not changed')
})

void test('a plaintext of a different length is refused and zeroed', async (t) => {
  for (const bytes of [0, 7, 31, 33, 64]) {
    const plaintext = Buffer.alloc(bytes, 1)
    const [result] = refuseWrongPlaintexts([sealed(32)], [plaintext])
    t.match(
      result,
      { code: 'VAULT_ANSWER_INVALID', message: /length does not match/ },
      String(bytes),
    )
    t.same(plaintext, Buffer.alloc(bytes))
  }
})

void test('a result without a value that was sent is refused', async (t) => {
  const [result] = refuseWrongPlaintexts([], [Buffer.alloc(32, 1)])
  t.match(result, { code: 'VAULT_ANSWER_INVALID' })
})

void test('a ciphertext that cannot be that of its plaintext is refused', async (t) => {
  const input = { plaintext: Buffer.alloc(32, 1), associatedData: Buffer.alloc(0), keyVersion: 1 }
  const { ciphertext } = sealed(32)
  const error = new BridgeError('KEY_VERSION_DISABLED', 'too old')
  t.same(refuseWrongCiphertexts([input, input], [ciphertext, error]), [ciphertext, error])
  for (const bytes of [0, 31, 33, 64]) {
    const results = refuseWrongCiphertexts([input, input], [sealed(bytes).ciphertext, ciphertext])
    t.match(results, [
      { code: 'VAULT_ANSWER_INVALID', message: /length does not match/ },
      ciphertext,
    ])
  }
  t.match(refuseWrongCiphertexts([], [ciphertext]), [{ code: 'VAULT_ANSWER_INVALID' }])
})
