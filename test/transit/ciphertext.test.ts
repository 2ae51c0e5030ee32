import { test } from 'tap'
import { readCiphertextVersion } from '../../src/transit/ciphertext.ts'

void test('the version of a Transit ciphertext is read from its text form', (t) => {
  t.equal(readCiphertextVersion('vault:v1:AAAA'), 1)
  t.equal(readCiphertextVersion('vault:v12:AA+/=='), 12)
  t.equal(readCiphertextVersion('vault:v999999999:AAAA'), 999_999_999)
  t.end()
})

const NO_CIPHERTEXTS: readonly (readonly [string, string])[] = [
  ['nothing', ''],
  ['another prefix', 'vaulT:v1:AAAA'],
  ['version 0, which Transit reads as 1', 'vault:v0:AAAA'],
  ['a version with a leading zero', 'vault:v01:AAAA'],
  ['a negative version', 'vault:v-1:AAAA'],
  ['a version that is no safe number', 'vault:v1000000000:AAAA'],
  ['no payload', 'vault:v1:'],
  ['padding alone', 'vault:v1:=='],
  ['too much padding', 'vault:v1:AA==='],
  ['base64url', 'vault:v1:AA-_'],
  ['a line break after it', 'vault:v1:AAAA\n'],
  ['a line break in it', 'vault:v1:AA\nAA'],
  ['a space before it', ' vault:v1:AAAA'],
  ['a NUL after it', 'vault:v1:AAAA\0'],
  ['another field', 'vault:v1:AAAA:AAAA'],
  ['a byte over 127, as latin1', 'vault:v1:AA\u00e9A'],
]

for (const [what, text] of NO_CIPHERTEXTS) {
  void test(`${what} is not a Transit ciphertext`, (t) => {
    t.equal(readCiphertextVersion(text), undefined)
    t.end()
  })
}
