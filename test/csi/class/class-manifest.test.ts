import { test } from 'tap'

import { readManifests } from '../../../src/csi/class/class-manifest.ts'

const CLASS = `apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: web, namespace: shop}
spec:
  provider: transit-bridge
  parameters:
    role: web
    objects: |
      - {type: publicKey, key: app-jwt, path: jwt.pem}
`

void test('a class is found with its line, even after other documents', async (t) => {
  const [first, ...others] = readManifests(`kind: Pod\n---\n${CLASS}`)
  t.match(first, { name: 'web', namespace: 'shop', line: 5, faults: [] })
  t.equal(first?.read?.objects.length, 1)
  t.same(others, [])
})

void test('classes inside a list are found, with lines of the whole file', async (t) => {
  const indented = CLASS.trimEnd().replaceAll('\n', '\n    ')
  const [found] = readManifests(`apiVersion: v1\nkind: List\nitems:\n  - ${indented}\n`)
  t.match(found, { name: 'web', line: 6, faults: [] })
})

void test('classes of other providers are skipped, a misspelled one is not', async (t) => {
  t.same(readManifests(CLASS.replace('provider: transit-bridge', 'provider: vault')), [])
  const [found] = readManifests(
    CLASS.replace('provider: transit-bridge', 'provider: transit-brige'),
  )
  t.match(found?.faults, [
    { path: 'spec.provider', message: '"transit-brige" is not supported', line: 5 },
  ])
})

/** A valid class with one thing wrong, and the fault that names it. */
const ROWS = [
  ['  provider: transit-bridge\n', '', { path: 'spec.provider', message: 'is missing' }],
  ['csi.x-k8s.io/v1\n', 'csi.x-k8s.io/v1alpha1\n', { path: 'apiVersion' }],
  ['{name: web, namespace: shop}', '{namespace: shop}', { path: 'metadata.name' }],
  ['type: publicKey', 'type: publickey', { path: /^objects\[0\]/, line: 9 }],
] as const

for (const [good, bad, fault] of ROWS) {
  void test(`a class with ${JSON.stringify(bad)} in place of ${JSON.stringify(good)} has one fault`, async (t) => {
    const [found, ...others] = readManifests(CLASS.replace(good, bad))
    t.match(found?.faults, [fault])
    t.equal(found?.faults.length, 1)
    t.equal(found?.read, undefined)
    t.same(others, [])
  })
}

void test('the line of a fault is a line of the file, however the objects are written in it', (t) => {
  const objects = [
    '- {type: publicKey, key: a, path: a}',
    '- {type: publicKey, key: b, path: b}',
    '- {type: publickey, key: c, path: c}',
    '',
  ]
  const [beginning = ''] = CLASS.split('    objects: |')
  for (const [line, written] of [
    [11, `    objects: |\n      ${objects.join('\n      ')}`],
    [12, `    objects:\n      |\n      ${objects.join('\n      ')}`],
    [8, `    objects: ${JSON.stringify(objects.join('\n'))}\n`],
    [8, `    objects: ${JSON.stringify(objects.join('\r\n'))}\n`],
    [8, '    objects: "[{type: publickey, key: c, path: c}]"\n'],
  ] as const) {
    const [found] = readManifests(beginning + written)
    t.match(found?.faults, [{ path: /^objects\[\d\].type/, line }], written)
  }
  const [ofJson] = readManifests(
    JSON.stringify({
      apiVersion: 'secrets-store.csi.x-k8s.io/v1',
      kind: 'SecretProviderClass',
      metadata: { name: 'web' },
      spec: {
        provider: 'transit-bridge',
        parameters: { role: 'web', objects: objects.join('\n') },
      },
    }),
  )
  t.match(ofJson?.faults, [{ path: 'objects[2].type', line: 1 }])
  t.end()
})

void test('values that are not text for kubectl are faults, because the API server refuses them', async (t) => {
  for (const [good, bad, fault] of [
    ['role: web', 'role: yes', { path: 'role', message: /must be text, not true/, line: 7 }],
    ['role: web', 'role: 1_000', { path: 'role', message: /not a number/, line: 7 }],
    ['role: web', 'role: 0x1F', { path: 'role', message: /not a number/, line: 7 }],
    ['role: web', 'role: web\n    mount: off', { path: 'mount', message: /not false/, line: 8 }],
    ['name: web', 'name: on', { path: 'metadata.name', message: /not true/, line: 3 }],
    ['namespace: shop', 'namespace: 12', { path: 'metadata.namespace', hint: 'put it in quotes' }],
  ] as const) {
    const [found] = readManifests(CLASS.replace(good, bad))
    t.match(found?.faults, [fault], bad)
    t.equal(found?.faults.length, 1, bad)
    t.equal(found?.read, undefined)
  }
  for (const good of ['role: "yes"', 'role: yes-1'])
    t.same(readManifests(CLASS.replace('role: web', good))[0]?.faults, [], good)
  t.same(readManifests(CLASS.replace('namespace: shop', 'namespace: null'))[0]?.faults, [])
})

void test('a document after "..." is a fault, because kubectl does not read it', async (t) => {
  const found = readManifests(`${CLASS}...\n${CLASS}`)
  t.match(found[0]?.faults, [{ message: /second document/, line: 11 }])
})

void test('a class counts as long as the driver sends it', async (t) => {
  const withComment = (character: string, count: number) =>
    CLASS.replace('path: jwt.pem}', `path: jwt.pem} # ${character.repeat(count)}`)
  t.same(readManifests(withComment('<', 160_000))[0]?.faults, [])
  t.same(readManifests(withComment('x', 250_000))[0]?.faults, [])
  const [found] = readManifests(withComment('<', 170_000))
  t.match(found?.faults, [{ path: 'spec.parameters', message: /960 KiB as JSON/, line: 6 }])
  t.equal(found?.read, undefined)
})

void test('parameters must be a mapping', async (t) => {
  for (const [written, message] of [
    ['parameters: text', /must be a mapping/],
    ['other: {}', /is missing/],
  ] as const) {
    const [found] = readManifests(CLASS.replace(/ {2}parameters:[\s\S]*/, `  ${written}\n`))
    t.match(found?.faults, [{ path: 'spec.parameters', message }])
  }
})

void test('secretObjects must name the path of an object', async (t) => {
  const withSecret = (name: string) =>
    `${CLASS}  secretObjects:\n    - {secretName: s, type: Opaque, data: [{objectName: ${name}, key: k}]}\n`
  t.same(readManifests(withSecret('jwt.pem'))[0]?.faults, [])
  t.match(readManifests(withSecret('jwt.pen'))[0]?.faults, [
    { path: 'secretObjects[0].data[0].objectName', hint: 'did you mean jwt.pem?', line: 11 },
  ])
})

void test('secretObjects can name a file in the folder of an object, but not the folder', async (t) => {
  const objects = `
      - {path: keys/all, type: publicKey, key: app-signing, version: all}
`
  const secretOf = (name: string) =>
    readManifests(
      `${CLASS.replace(/\n {6}- .*\n/, objects)}  secretObjects:\n    - {secretName: s, type: Opaque, data: [{objectName: "${name}", key: k}]}\n`,
    )[0]?.faults.map(({ path }) => path)
  const fault = ['secretObjects[0].data[0].objectName']
  t.same(secretOf('keys/all/1'), [])
  t.same(secretOf('keys/all'), fault)
  t.same(secretOf('keys'), fault)
  t.same(secretOf('keys/all-of-them/1'), fault)
  t.same(secretOf('x/'.repeat(3_000)), fault)
})

void test('secretObjects from which the driver would create no Secret are faults', async (t) => {
  const label = 'secretObjects[0]'
  const data = 'data: [{objectName: jwt.pem, key: k}]'
  for (const [written, ...paths] of [
    [`type: Opaque, ${data}`, 'secretName'],
    [`secretName: s, ${data}`, 'type'],
    ['secretName: s, type: Opaque', 'data'],
    ['secretName: s, type: Opaque, data: []', 'data'],
    ['secretName: s, type: Opaque, data: [{key: k}]', 'data[0].objectName'],
    ['secretName: s, type: Opaque, data: [{objectName: jwt.pem}]', 'data[0].key'],
    ['secretName: s, type: Opaque, data: [{}]', 'data[0].objectName', 'data[0].key'],
    [`secretName: s, type: kubernetes.io/tls, ${data}`, 'data[0].key'],
    [`secretName: s, type: kubernetes.io/tls, ${data.replace('key: k', 'key: tls.key')}`],
    [`secretName: s, type: Opaque, ${data.replace('jwt.pem, key: k', '" jwt.pem ", key: " k "')}`],
  ] as const) {
    const [found] = readManifests(`${CLASS}  secretObjects:\n    - {${written}}\n`)
    t.same(
      found?.faults.map(({ path, line }) => [path, line]),
      paths.map((path) => [`${label}.${path}`, 11]),
      written,
    )
  }
})

void test('a name that the API server would refuse is a fault', async (t) => {
  for (const wrong of ['My_Class', 'a..b', '-a', 'a'.repeat(254), 'x\u202ey']) {
    const [found] = readManifests(CLASS.replace('name: web', `name: "${wrong}"`))
    t.match(found?.faults, [{ path: 'metadata.name', message: /is not a valid name/ }], wrong)
  }
  t.same(readManifests(CLASS.replace('name: web', 'name: web.v1-2'))[0]?.faults, [])
})

void test('an object without a path cannot become a Secret', async (t) => {
  const objects = `
      - {name: key, type: exportedKey, key: app-tls}
      - {path: both.pem, type: bundle, of: [key]}
`
  const composed = CLASS.replace(/\n {6}- .*\n/, objects)
  const withSecret = (name: string) =>
    `${composed}  secretObjects:\n    - {secretName: s, type: Opaque, data: [{objectName: ${name}, key: k}]}\n`
  t.same(readManifests(withSecret('both.pem'))[0]?.faults, [])
  t.match(readManifests(withSecret('key'))[0]?.faults, [
    {
      path: 'secretObjects[0].data[0].objectName',
      message: 'is not the path of an object',
      hint: 'the object with this name has no path; add one',
      line: 12,
    },
  ])
  t.match(readManifests(composed.replace('[key]', '[kye]'))[0]?.faults, [
    {
      path: 'objects[1].of',
      message: /refers to "kye"/,
      hint: 'write name: in that object',
      line: 10,
    },
  ])
})

void test('what is not YAML is reported with its line in the whole file', async (t) => {
  const [found] = readManifests(`kind: Pod\n---\nkind: [\n`)
  t.equal(found?.read, undefined)
  t.ok((found?.faults[0]?.line ?? 0) >= 3)
})
