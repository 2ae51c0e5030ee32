import { deepStrictEqual, equal, ok } from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'

import { concernsKey, readAuditEntry } from '../../src/audit/entry.ts'
import { readLogFile, type LogLine } from '../../src/audit/log-file.ts'
import { isRevealing, readOperation } from '../../src/audit/operation.ts'
import { holds } from '../property.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { auditLine } from './lines.ts'

/** Where Transit's paths have the name of the key (https://openbao.org/api-docs/secret/transit/). */
const PATHS: readonly (readonly [
  path: string,
  operation: string,
  action: string,
  reveals: boolean,
])[] = [
  ['encrypt/KEY', 'update', 'encrypt', false],
  ['decrypt/KEY', 'update', 'decrypt', true],
  ['rewrap/KEY', 'update', 'rewrap', true],
  ['datakey/plaintext/KEY', 'update', 'datakey', true],
  ['export/encryption-key/KEY', 'read', 'export', true],
  ['export/hmac-key/KEY/3', 'read', 'export', true],
  ['byok-export/other/KEY', 'read', 'byok-export', true],
  ['backup/KEY', 'read', 'backup', true],
  ['keys/KEY', 'read', 'read', false],
  ['keys/KEY', 'delete', 'delete', false],
  ['keys/KEY/rotate', 'update', 'rotate', false],
  ['keys/KEY/config', 'update', 'config', false],
  ['sign/KEY/sha2-256', 'update', 'sign', false],
  ['future/KEY', 'update', 'future', true],
  ['keys/KEY/rotate/x', 'update', 'rotate/x', true],
  // A key in the body, or a path of a future version: it may be any.
  ['encrypt', 'update', 'encrypt', true],
  ['sign', 'update', 'sign', true],
]
const word = fc.constantFrom('transit', 'team', 'a', 'keys', 'decrypt', 'export', 'k8s')
const mount = fc.array(word, { minLength: 1, maxLength: 3 }).map((words) => words.join('/'))
const key = fc.constantFrom('k8s-etcd', 'keys', 'decrypt', 'a', 'KEY.1')
const namespace = fc.constantFrom(undefined, 'team/', 'a/b/')

holds(
  'a line about a key names its mount, its key and what was done, and never passes for harmless if it is not',
  [fc.constantFrom(...PATHS), mount, key, namespace],
  ([template, operation, action, reveals], at, name, inside) => {
    const path = `${at}/${template.replace('KEY', name)}`
    const mountPoint = `${inside ?? ''}${at}/`
    const entry = readAuditEntry(
      auditLine('request', { path, operation, mountPoint, namespace: inside ?? '' }),
    )
    ok(typeof entry === 'object')
    equal(entry.mount, `${inside ?? ''}${at}`)
    equal(entry.action, action)
    equal(isRevealing(entry), reveals)
    ok(concernsKey(entry, name))
    if (!entry.isUnknown) ok(!concernsKey(entry, `${name}-2`))
  },
  600,
)

holds(
  'without the mount point in the file, no use of a key that reveals something is overlooked',
  [fc.constantFrom(...PATHS), fc.constantFrom('transit', 'team/transit', 'a/b/c'), key],
  ([template, operation, , reveals], at, name) => {
    const path = `${at}/${template.replace('KEY', name)}`
    const found = readOperation({ path, operation })
    // A path whose words are all unknown has nothing to recognize Transit by.
    if (template.startsWith('future')) return
    ok(found !== undefined)
    ok(concernsKey(found, name), JSON.stringify(found))
    ok(!reveals || isRevealing(found))
  },
)

const value = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(
    null,
    [],
    {},
    '',
    'x',
    0,
    { request: null },
    { request: { path: 1, id: 'x' } },
  ),
)
const FIELDS = ['type', 'time', 'error', 'auth', 'request', 'response', '__proto__']
const REQUEST_FIELDS = [
  'id',
  'path',
  'operation',
  'mount_type',
  'mount_point',
  'namespace',
  'headers',
  'data',
  'remote_address',
]

holds(
  'a line with any field replaced is read as an entry, or as an invalid one, and nothing is thrown',
  [
    fc.constantFrom(...FIELDS, ...REQUEST_FIELDS),
    value,
    fc.constantFrom('request' as const, 'response' as const),
  ],
  (field, replaced, type) => {
    const line = JSON.parse(JSON.stringify(auditLine(type))) as { request: Record<string, unknown> }
    const target = REQUEST_FIELDS.includes(field) ? line.request : line
    Object.defineProperty(target, field, { value: replaced, enumerable: true, configurable: true })
    const read = readAuditEntry(line)
    ok(typeof read === 'object' || ['other', 'invalid', 'device-filtered'].includes(String(read)))
    ok(typeof read !== 'object' || typeof read.key === 'string')
  },
  600,
)

holds('any JSON is read without an exception', [fc.anything()], (anything) => {
  const read = readAuditEntry(anything)
  ok(read === undefined || read === 'invalid' || typeof anything === 'object')
})

/** A text in parts; none ends within a character of two code units. */
function split(text: string, cuts: readonly number[]): readonly string[] {
  const places = cuts
    .map((cut) => cut % text.length)
    .map((cut) => (text.slice(0, cut).isWellFormed() ? cut : cut + 1))
    .toSorted((one, other) => one - other)
  return [0, ...places].map((from, at) => text.slice(from, places[at]))
}

const TIME = '2026-01-01T00:00:00Z'
/** A line of a log as different things write it: as it is, behind a time, by Docker, and by a container runtime. */
const SHAPES: Readonly<Record<string, (parts: readonly string[]) => readonly string[]>> = {
  bare: (parts) => [parts.join('')],
  prefixed: (parts) => [`${TIME} host vault[12]: ${parts.join('')}`],
  docker: (parts) =>
    parts.map((part, at) =>
      JSON.stringify({
        log: at === parts.length - 1 ? `${part}\n` : part,
        stream: 'stdout',
        time: TIME,
      }),
    ),
  cri: (parts) =>
    parts.map((part, at) => `${TIME} stdout ${at === parts.length - 1 ? 'F' : 'P'} ${part}`),
}
const entryText = fc
  .dictionary(fc.string({ maxLength: 5 }), fc.string({ unit: 'grapheme', maxLength: 30 }), {
    minKeys: 1,
    maxKeys: 3,
    noNullPrototype: true,
  })
  .map((object) => JSON.stringify(object))
const line = fc.tuple(
  entryText,
  fc.constantFrom(...Object.keys(SHAPES)),
  fc.array(fc.nat(), { maxLength: 3 }),
)
const folder = tempFolder('audit')

holds(
  'the objects of a log are read from any of its forms, compressed or not, in their order',
  [fc.array(line, { maxLength: 8 }), fc.boolean(), fc.constantFrom('\n', '\r\n')],
  async (lines, isCompressed, lineEnd) => {
    const text = lines
      .flatMap(([entry, shape, cuts]) => SHAPES[shape]?.(split(entry, cuts)) ?? [])
      .map((each) => each + lineEnd)
      .join('')
    const path = join(folder, 'log')
    writeFileSync(path, isCompressed ? gzipSync(text) : text)
    const read: LogLine[] = []
    for await (const some of readLogFile(path)) read.push(...some)
    deepStrictEqual(
      read.map((each) => ('value' in each ? JSON.stringify(each.value) : each.why)),
      lines.map(([entry]) => JSON.stringify(JSON.parse(entry))),
    )
  },
)
