import { after, end, test } from 'tap'
import type { BridgeError } from '../../../src/errors.ts'
import { FieldReader } from '../../../src/csi/class/object-fields.ts'
import { readSelection, type Selection } from '../../../src/csi/class/pointer.ts'
import { selectPart } from '../../../src/csi/volume/value-part.ts'
import { PodVault, newPod } from '../pod-vault.ts'
import { failure, startFixture } from '../fixture.ts'

const vault = await PodVault.start()
const fixture = await startFixture(vault)
after(async () => {
  await fixture.stop()
  await vault.stop()
})
await vault.makeKey('app')

async function mount(objects: readonly object[], pod = newPod()) {
  return fixture.driver.mount({ attributes: await vault.attributes(pod, objects) })
}

function selectionOf(fields: object): Selection {
  const selection = readSelection(new FieldReader('', { ...fields }, []))
  if (selection === undefined) throw new Error('the pointer is invalid')
  return selection
}

/** The text is that of the examples in RFC 6901, section 5, and some more. */
const VALUE = JSON.stringify({
  foo: ['bar', 'baz'],
  '': 0,
  'a/b': 1,
  'c%d': 2,
  'e^f': 3,
  'g|h': 4,
  'i\\j': 5,
  'k"l': 6,
  ' ': 7,
  'm~n': 8,
  '~1': 'tilde one',
  db: { password: 'grüß\nhunter2', port: 5432, tls: true, none: null, '': 'empty key' },
})

const FOUND: readonly (readonly [string, string])[] = [
  ['/foo', '["bar","baz"]'],
  ['/foo/0', 'bar'],
  ['/a~1b', '1'],
  ['/c%d', '2'],
  ['/e^f', '3'],
  ['/g|h', '4'],
  ['/i\\j', '5'],
  ['/k"l', '6'],
  ['/ ', '7'],
  ['/m~0n', '8'],
  ['/~01', 'tilde one'],
  ['/db/password', 'grüß\nhunter2'],
  ['/db/port', '5432'],
  ['/db/tls', 'true'],
  ['/db/none', 'null'],
  ['/db/', 'empty key'],
]

for (const [pointer, expected] of FOUND) {
  void test(`the part ${pointer} of a value is found, in JSON and in YAML`, (t) => {
    for (const field of ['jsonPointer', 'yamlPointer']) {
      const bytes = Buffer.from(VALUE)
      t.equal(String(selectPart(bytes, selectionOf({ [field]: pointer }))), expected, field)
      t.ok(
        bytes.every((byte) => byte === 0),
        'the value is zeroed',
      )
    }
    t.end()
  })
}

void test('numbers keep their digits', (t) => {
  const json = '{"id": 12345678901234567890, "price": 1.10, "list": [1e400, 9007199254740993]}'
  const select = (text: string, fields: object) =>
    String(selectPart(Buffer.from(text), selectionOf(fields)))
  t.equal(select(json, { jsonPointer: '/id' }), '12345678901234567890')
  t.equal(select(json, { jsonPointer: '/price' }), '1.10')
  t.equal(select(json, { jsonPointer: '/list' }), '[1e400,9007199254740993]')
  const yaml = 'id: 12345678901234567890\nlist: [1, 0x1F, 1.10, +1.10, 1e400]\nprice: 1.10\n'
  t.equal(select(yaml, { yamlPointer: '/id' }), '12345678901234567890')
  t.equal(select(yaml, { yamlPointer: '/list' }), '[1,31,1.10,1.1,1e400]')
  t.equal(select(yaml, { yamlPointer: '/price' }), '1.10')
  t.throws(() => select(yaml, { yamlPointer: '/price/rawJSON' }), { code: 'OBJECT_MISSING' })
  t.end()
})

const MISSING: readonly (readonly [string, string])[] = [
  ['/db/pasword', ', only "/db"'],
  ['/DB', ''],
  ['/db/password/x', ', only "/db/password"'],
  ['/db/none/x', ', only "/db/none"'],
  ['/foo/2', ', only "/foo"'],
  ['/foo/-', ', only "/foo"'],
  ['/foo/00', ', only "/foo"'],
  ['/foo/length', ', only "/foo"'],
  ['/db/toString', ', only "/db"'],
  ['/__proto__', ''],
  ['/constructor/name', ''],
]

for (const [pointer, place] of MISSING) {
  void test(`the missing part ${pointer} is reported by its pointer`, (t) => {
    for (const field of ['jsonPointer', 'yamlPointer']) {
      const bytes = Buffer.from(VALUE)
      t.throws(() => selectPart(bytes, selectionOf({ [field]: pointer })), {
        code: 'OBJECT_MISSING',
        message: `the value has no part ${JSON.stringify(pointer)}${place}; correct the pointer, or set optional: true`,
      })
      t.ok(
        bytes.every((byte) => byte === 0),
        'the value is zeroed',
      )
    }
    t.end()
  })
}

const DEEP = '['.repeat(9_000) + ']'.repeat(9_000)
const UNREADABLE: readonly (readonly [string, string | Buffer, object, string])[] = [
  ['text', 'hunter2 is the password', { jsonPointer: '/a' }, 'is not JSON'],
  ['two JSON values', '{"a":1}{"hunter2":1}', { jsonPointer: '/a' }, 'is not JSON'],
  ['nothing', '', { jsonPointer: '/a' }, 'is not JSON'],
  ['bytes', Buffer.from([0xff, 0xfe]), { jsonPointer: '/a' }, 'is not UTF-8 text'],
  ['bytes as YAML', Buffer.from([0xff, 0xfe]), { yamlPointer: '/a' }, 'is not UTF-8 text'],
  ['a nesting', `{"a":${DEEP}}`, { jsonPointer: '/a' }, 'is nested too deeply'],
  [
    'many list items',
    `{"a":1,"list":[${'0,'.repeat(10_000)}0]}`,
    { jsonPointer: '/a' },
    'has more than 10000 fields and list items',
  ],
  [
    'half of a surrogate pair',
    '{"a":"hunter2\\ud800"}',
    { jsonPointer: '/a' },
    'contains half of a surrogate pair, which UTF-8 cannot express',
  ],
  [
    'half of a surrogate pair in YAML',
    'a: "hunter2\\ud800"',
    { yamlPointer: '/a' },
    'contains half of a surrogate pair, which UTF-8 cannot express',
  ],
  [
    'a duplicate key',
    'a: 1\nhunter2: 1\nhunter2: 2\n',
    { yamlPointer: '/a' },
    'is not YAML without aliases, tags and duplicate keys (line 3)',
  ],
  [
    'an alias',
    'a: &x hunter2\nb: *x\n',
    { yamlPointer: '/a' },
    'is not YAML without aliases, tags and duplicate keys (line 2)',
  ],
  [
    'a tag',
    'a: !hunter2 x\n',
    { yamlPointer: '/a' },
    'is not YAML without aliases, tags and duplicate keys (line 1)',
  ],
  [
    'two documents',
    'a: 1\n---\nb: 1\n',
    { yamlPointer: '/a' },
    'is not YAML without aliases, tags and duplicate keys (line 2)',
  ],
  [
    'much structure',
    `a: 1\nlist: [${'1,'.repeat(2_000)}]`,
    { yamlPointer: '/a' },
    'has more than 2000 structural characters (such as - : , " \\ and line ends)',
  ],
  ['infinity', 'a: .inf\n', { yamlPointer: '/a' }, 'contains a number that JSON cannot express'],
]

for (const [name, value, fields, fault] of UNREADABLE) {
  void test(`a value that cannot be read is refused without quoting it: ${name}`, (t) => {
    const bytes = Buffer.from(value)
    const [field] = Object.keys(fields)
    const expected = {
      code: 'OBJECT_UNSUITABLE',
      message: `the value ${fault}, so ${String(field)} has nothing to select from`,
    }
    try {
      selectPart(bytes, selectionOf(fields))
      t.fail('it was read')
    } catch (thrown) {
      t.match(thrown, expected)
      t.equal((thrown as BridgeError).cause, undefined, 'the error of the parser quotes the value')
    }
    t.ok(
      bytes.every((byte) => byte === 0),
      'the value is zeroed',
    )
    t.end()
  })
}

void test('parts of one value are mounted, decoded and encoded', async (t) => {
  const text = JSON.stringify({ user: 'web', tls: { key: 'AAEC', hex: 'ff00' }, ports: [1, 2] })
  const object = { type: 'decrypt', key: 'app', ciphertext: await vault.encrypt('app', text) }
  const { files, versions } = await mount([
    { ...object, path: 'user', jsonPointer: '/user' },
    { ...object, path: 'user.yaml', yamlPointer: '/user' },
    { ...object, path: 'key', jsonPointer: '/tls/key', decode: 'base64' },
    { ...object, path: 'hex', jsonPointer: '/tls/hex', decode: 'hex', encoding: 'base64' },
    { ...object, path: 'ports', jsonPointer: '/ports' },
    { ...object, path: 'no', jsonPointer: '/tls/cert', optional: true },
    { ...object, path: 'all' },
  ])
  t.same(
    [...files].map(([path, { contents }]) => [path, contents.toString('latin1')]),
    [
      ['user', 'web'],
      ['user.yaml', 'web'],
      ['key', '\u0000\u0001\u0002'],
      ['hex', '/wA='],
      ['ports', '[1,2]'],
      ['all', text],
    ],
  )
  t.equal(new Set(versions.values()).size, 6, 'each part has its own version')
  const changed = { ...object, ciphertext: await vault.encrypt('app', text.replace('web', 'job')) }
  const later = await mount([{ ...changed, path: 'user', jsonPointer: '/user' }])
  t.equal(String(later.files.get('user')?.contents), 'job')
  t.not(later.versions.get('user'), versions.get('user'))
})

void test('a missing part fails the Mount with its pointer, and no part of the value is in the log', async (t) => {
  const text = JSON.stringify({ db: { password: 'hunter2', 'secret-name': 1 } })
  const object = { type: 'decrypt', key: 'app', ciphertext: await vault.encrypt('app', text) }
  t.match(await failure(mount([{ ...object, path: 'x', jsonPointer: '/db/pass' }])), {
    code: 'NOT_FOUND',
    message:
      'objects[0] (x): the value has no part "/db/pass", only "/db"; correct the pointer, or set optional: true',
  })
  const broken = { ...object, ciphertext: await vault.encrypt('app', `hunter2${text}`) }
  t.match(await failure(mount([{ ...broken, path: 'x', jsonPointer: '/db/pass' }])), {
    code: 'FAILED_PRECONDITION',
    message: 'objects[0] (x): the value is not JSON, so jsonPointer has nothing to select from',
  })
  t.notMatch(JSON.stringify(fixture.lines), /hunter2|secret-name/)
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
