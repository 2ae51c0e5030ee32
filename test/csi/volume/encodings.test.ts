import { after, end, test } from 'tap'
import { PodVault, newPod } from '../pod-vault.ts'
import { failure, startFixture } from '../fixture.ts'

const vault = await PodVault.start()
const fixture = await startFixture(vault)
after(async () => {
  await fixture.stop()
  await vault.stop()
})
await vault.makeKey('app')
await vault.makeKey('exported', 'aes256-gcm96', { exportable: true })

async function mount(objects: readonly object[], pod = newPod()) {
  return fixture.driver.mount({ attributes: await vault.attributes(pod, objects) })
}

async function decryptAs(value: string | Buffer, fields: object) {
  const ciphertext = await vault.encrypt('app', value)
  return { path: 'x', type: 'decrypt', key: 'app', ciphertext, ...fields }
}

const BYTES = Buffer.from([0xff, 0x00, 0xfe, 0x10])

const WRITTEN: readonly (readonly [string, Buffer, object, Buffer | string])[] = [
  ['bytes as they are', BYTES, {}, BYTES],
  ['bytes as hex', BYTES, { encoding: 'hex' }, 'ff00fe10'],
  ['bytes as base64', BYTES, { encoding: 'base64' }, '/wD+EA=='],
  ['base64 text as bytes', Buffer.from('/wD+EA=='), { decode: 'base64' }, BYTES],
  ['base64 text in lines as bytes', Buffer.from('/wD+\r\nEA==\n'), { decode: 'base64' }, BYTES],
  ['hex text as bytes', Buffer.from('FF00fe10\n'), { decode: 'hex' }, BYTES],
  [
    'hex text as base64',
    Buffer.from('ff00fe10'),
    { decode: 'hex', encoding: 'base64' },
    '/wD+EA==',
  ],
  ['base64 text as UTF-8', Buffer.from('Z3LDvMOf'), { decode: 'base64', encoding: 'utf8' }, 'grüß'],
  ['an empty text', Buffer.from(''), { decode: 'base64', encoding: 'hex' }, ''],
]

for (const [name, value, fields, expected] of WRITTEN) {
  void test(`a decrypted value is mounted: ${name}`, async (t) => {
    const { files } = await mount([await decryptAs(value, fields)])
    t.same(files.get('x')?.contents, Buffer.from(expected))
  })
}

const REFUSED: readonly (readonly [string, Buffer, object, string])[] = [
  ...['hunter2!', 'aHVudGVyMg', 'aHVudGVyMg==x', 'aHVu dGVy', '_-__'].map(
    (text) =>
      [
        `${text} is not base64`,
        Buffer.from(text),
        { decode: 'base64' },
        'the value is not standard base64 with padding, which decode: base64 requires; correct decode, or remove it',
      ] as const,
  ),
  ...['hunter2!', 'abc', '0xff', 'ff ff'].map(
    (text) =>
      [
        `${text} is not hex`,
        Buffer.from(text),
        { decode: 'hex' },
        'the value is not hexadecimal digits, which decode: hex requires; correct decode, or remove it',
      ] as const,
  ),
  [
    'decoded bytes are not UTF-8',
    Buffer.from('/wD+EA=='),
    { decode: 'base64', encoding: 'utf8' },
    'the value is not UTF-8 text; use encoding: raw, base64 or hex',
  ],
]

for (const [name, value, fields, message] of REFUSED) {
  void test(`a value in another form is refused without quoting it: ${name}`, async (t) => {
    t.match(await failure(mount([await decryptAs(value, fields)])), {
      code: 'FAILED_PRECONDITION',
      message: `objects[0] (x): ${message}`,
    })
  })
}

void test('data keys and exported keys are written as hex', async (t) => {
  const made = await vault.bao.api('POST', 'transit/datakey/plaintext/app', {})
  const exported = await vault.bao.api('GET', 'transit/export/encryption-key/exported')
  const { files } = await mount([
    { path: 'dek', type: 'dataKey', key: 'app', wrapped: made.data.ciphertext, encoding: 'hex' },
    { path: 'key', type: 'exportedKey', key: 'exported', encoding: 'hex' },
  ])
  const toHex = (base64: unknown) => Buffer.from(String(base64), 'base64').toString('hex')
  t.equal(String(files.get('dek')?.contents), toHex(made.data.plaintext))
  t.equal(String(files.get('key')?.contents), toHex(exported.data.keys['1']))
})

void test('each encoding of a value has its own object version, which stays the same', async (t) => {
  const ciphertext = await vault.encrypt('app', 'aaaa')
  const object = { type: 'decrypt', key: 'app', ciphertext }
  const objects = ['raw', 'base64', 'hex', 'utf8'].flatMap((encoding) => [
    { ...object, path: encoding, encoding },
    {
      ...object,
      path: `${encoding}-of-base64`,
      encoding: encoding.replace('utf8', 'raw'),
      decode: 'base64',
    },
    {
      ...object,
      path: `${encoding}-of-hex`,
      encoding: encoding.replace('utf8', 'raw'),
      decode: 'hex',
    },
  ])
  const { versions } = await mount(objects)
  t.equal(new Set(versions.values()).size, 10, 'utf8 of decoded text is not among them')
  t.same((await mount(objects)).versions, versions)
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
