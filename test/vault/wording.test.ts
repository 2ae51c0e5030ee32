import { test } from 'tap'
import { Secret } from '../../src/secret.ts'
import type { VaultRequest } from '../../src/vault/client/request.ts'
import { cleanWords } from '../../src/vault/client/wording.ts'

const request: VaultRequest = {
  operation: 'login',
  method: 'POST',
  path: 'auth/jwt/login',
  body: {
    role: 'transit-bridge-kms',
    jwt: 'eyJhbGciOi.J9.x',
    short: 'k8s-etcd',
    plaintext: Buffer.from('b2YgZW5jcnlwdA=='),
    batch_input: [{ plaintext: 'cGxhaW50ZXh0' }, { plaintext: 'c2Vjb25kIG9uZQ==' }],
  },
  token: new Secret('hvs.token'),
}

const ROWS: readonly (readonly [string[], string])[] = [
  [['permission denied'], 'permission denied'],
  [['1 error occurred:\n\t* permission denied\n\n'], 'permission denied'],
  [
    ['2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n'],
    'permission denied; invalid token',
  ],
  [['route entry not found.'], 'route entry not found'],
  [['a\u0000b\u001b[31mc\u202ed\r\ne'], 'a b [31mc d e'],
  [['', 'two', '\n'], 'two'],
  [['bad jwt eyJhbGciOi.J9.x'], 'bad jwt [secret]'],
  [['token hvs.token is bad'], 'token [secret] is bad'],
  [['item c2Vjb25kIG9uZQ==: cGxhaW50ZXh0'], 'item [secret]: [secret]'],
  [['bad b2YgZW5jcnlwdA== here'], 'bad [secret] here'],
  [
    ['role "transit-bridge-kms" could not be found'],
    'role "transit-bridge-kms" could not be found',
  ],
  [['key k8s-etcd'], 'key k8s-etcd'],
  // Of another request.
  [['cannot take vault:v12:AAAAc2Vjcmv0+/=='], 'cannot take [secret]'],
  [[`token hvs.CAES1${'a'.repeat(24)}`], 'token [secret]'],
  [[`jwt eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOi.c2ln`], 'jwt [secret]'],
  [['a ciphertext starts with vault:v1:'], 'a ciphertext starts with vault:v1:'],
]

for (const [words, clean] of ROWS) {
  void test(`${JSON.stringify(words)} becomes "${clean}"`, async (s) => {
    s.equal(cleanWords(words, request), clean)
  })
}

void test('long words are cut, and a secret at the cut does not show in part', async (t) => {
  const clean = cleanWords([`${'x'.repeat(395)} eyJhbGciOi.J9.x`], request)
  t.equal(clean.length, 400)
  t.notMatch(clean, 'eyJ')
})
