import { test } from 'tap'

import {
  encodeLocalKeyAssociatedData,
  isLocalKeyContext,
  LOCAL_KEY_BYTES,
} from '../../src/seed/local-seal.ts'
import { SealedKeys } from '../../src/verify/sealed-keys.ts'
import { transitKey } from '../kms/transit-key.ts'

const localKey = (ciphertext: string) => ({
  ciphertext,
  clusterId: 'prod',
  keyId: 'tb1',
  key: Buffer.alloc(LOCAL_KEY_BYTES, 7),
  isOwn: true,
})
const key = transitKey(1)
const open = (...ciphertexts: string[]) =>
  new SealedKeys('FILE', { key, localKeys: ciphertexts.map(localKey) })
const associatedData = encodeLocalKeyAssociatedData('prod')

void test('a sealed file answers with its local keys as Transit would, in copies', async (t) => {
  const keys = open('vault:v1:AAAA')
  t.equal(await keys.readKey(), key)
  const [found] = await keys.decrypt('key', [{ ciphertext: 'vault:v1:AAAA', associatedData }])
  keys.end()
  t.strictSame(found, Buffer.alloc(LOCAL_KEY_BYTES, 7))
})

void test('what a sealed file does not contain is an error that says what to do', async (t) => {
  const errors = await open('vault:v1:AAAA').decrypt('key', [
    { ciphertext: 'vault:v1:BBBB', associatedData },
    { ciphertext: 'vault:v1:AAAA', associatedData: encodeLocalKeyAssociatedData('other') },
    { ciphertext: 'vault:v1:AAAA', associatedData: Buffer.from('of a DEK seed') },
    { ciphertext: 'vault:v1:AAAA' },
  ])
  t.match(errors, [
    { code: 'LOCAL_KEY_MISSING', message: /^its local key is not in FILE; restart the API server/ },
    { code: 'LOCAL_KEY_MISSING', message: /^its local key is not in FILE/ },
    { code: 'LOCAL_KEY_MISSING', message: /^no local key encrypted it, so only Vault can decrypt/ },
    { code: 'LOCAL_KEY_MISSING', message: /^no local key encrypted it/ },
  ])
  t.ok(isLocalKeyContext(associatedData))
})

void test('a file that lost a local key does not include those of the earlier one', (t) => {
  const before = open('vault:v1:AAAA', 'vault:v1:BBBB')
  t.ok(open('vault:v1:BBBB', 'vault:v1:AAAA', 'vault:v1:CCCC').includes(before))
  t.notOk(open('vault:v1:AAAA').includes(before))
  t.equal(before.size, 2)
  t.end()
})
