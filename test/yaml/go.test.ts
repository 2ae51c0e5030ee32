import { test } from 'tap'

import { readAsGo, type GoReading } from '../../src/yaml/go/read.ts'
import { SHAPES } from './shapes.ts'

const KUBECTL: GoReading = { json: false, strict: false }
const API_SERVER: GoReading = { json: true, strict: true }

function valueOf(text: string, reading: GoReading): unknown {
  const source = readAsGo(text, reading)
  return 'value' in source ? source.value : source[0]?.message
}

/** What Kubernetes reads; test/differential asks Kubernetes itself. */
const READ: readonly (readonly [text: string, value: unknown])[] = [
  [
    'a: [yes, Off, y, ~, 0x10, 017, 0o17, 0b11, -1_000, 1e3, .5, 08]',
    [true, false, true, null, 16, 15, 15, 3, -1000, 1000, 0.5, 8],
  ],
  [
    'a: ["yes", 1.2.3, 1:30, 2001-01-01, +x, =, <<]',
    ['yes', '1.2.3', '1:30', '2001-01-01', '+x', '=', '<<'],
  ],
  [
    'a: [!!str 1, !!int "1", !!float 1, !!bool "no", !!binary YQ==, ! 1, !x 1]',
    ['1', 1, 1, false, 'a', 1, '1'],
  ],
  ['a: {1: x, yes: w, 1.5: z}', { 1: 'x', true: 'w', 1.5: 'z' }],
  ['a: {<<: {x: 1, w: 1}, x: 2}', { x: 2, w: 1 }],
  ['a: {x: 2, <<: {x: 1}}', { x: 1 }],
  ['a: {<<: [{x: 1}, {x: 2, w: 2}]}', { x: 1, w: 2 }],
  ['b: &b {x: 1}\na: {<<: *b}', { x: 1 }],
  ['a: [x: 1]', [{ x: 1 }]],
  ['a: 1\na: 2', 2],
  ['a: 1\n---\na: 2', 1],
  ['a: 1\n---\n]', 1],
  ['a: 1\r# old Macs', 1],
  ['\uFEFFa: 1', 1],
  ['{"a": [1,],}', [1]],
]

void test('YAML is read as kubectl reads it', (t) => {
  for (const [text, a] of READ) t.match(valueOf(text, KUBECTL), { a }, text)
  t.end()
})

const REFUSED: readonly (readonly [text: string, message: RegExp])[] = [
  ['a: 1\na: 2', /is set twice/],
  ['a: {x: 1, <<: {x: 1}}', /is set twice/],
  ['a: &a [*a]', /inside the value that it refers to/],
  ['a: *a\nb: &a 1', /refers to no anchor/],
  ['a: {<<: 1}', /needs a mapping/],
  ['a: !!int x', /does not match its tag/],
  ['a: .inf', /infinite/],
  ['? [a]\n: 1', /a key must be text/],
  ['~: 1', /a key must be text/],
  ['a: 1\n\t\nb: 1', /a tab is used for indentation/],
  ['a: \u0007', /invisible character/],
  ['a: \uFEFFb', /invisible character/],
  ['%YAML 1.2\n---\na: 1', /has a %YAML directive/],
  ['%YAML 1.1\n%YAML 1.1\n---\na: 1', /has a %YAML directive/],
  ['%TEST 1\n---\na: 1', /directive/],
  ['a: "b\\/c"', /does not start an escape/],
  ['a: &a+b 1', /name of an anchor/],
  ['a: {~\n  "b": 1}', /has no ": " after its key/],
  ['a: {b:[1]}', /has a colon without a space/],
  ['a: [:b]', /starts with : or \?/],
  ['a: {"b"\n  : 1}', /has no ": " after its key/],
  ['--- {a: 1}\nb', /has text after the bracket/],
  ['--- {a: 1\n...\n}', /a character is missing/],
  ['{"a": 1,}', /is read as JSON, which ends here/],
  ['{"a": 1, "a": 2}', /is set twice/],
  ['{"a": 01}', /is read as JSON/],
  ['{"a": 1} 2', /is read as JSON/],
  ['{"a": [1 2]}', /is read as JSON/],
  ['{"a" 1}', /is read as JSON/],
  ['{a: 1}', /is read as JSON/],
  ['#'.repeat(10 * 1024 * 1024 + 1), /is longer than 10 MiB/],
]

void test('what kube-apiserver refuses is refused', (t) => {
  for (const [text, message] of REFUSED)
    t.match(valueOf(text, API_SERVER), message, text.slice(0, 40))
  t.end()
})

void test('JSON with a number that Go cannot hold is refused in strict reading', (t) => {
  const text = `{"a":\n${'1'.repeat(400)}}`
  t.match(readAsGo(text, API_SERVER), [{ message: /a number is infinite/, line: 2 }])
  t.end()
})

void test('the line of an error in JSON is where it stops being JSON', (t) => {
  t.match(readAsGo('{\n  "a": [\n    1,\n  ]\n}', API_SERVER), [{ line: 4, column: 3 }])
  t.match(readAsGo('{\n  "a": 1,\n  "a": 2\n}', API_SERVER), [{ path: 'a', line: 3 }])
  t.match(readAsGo('a: 1\n---\n# rest\nb: 1', API_SERVER), { ignoredLine: 4 })
  t.end()
})

void test('JSON values are those of JSON.parse', (t) => {
  const text = ' {"a": [1.5e3, -0, true, null, "\\u0041\\n", {}, []]}\n'
  t.strictSame(valueOf(text, API_SERVER), JSON.parse(text))
  t.end()
})

void test('every shape is parsed or rejected, and a message repeats nothing of the text', (t) => {
  for (const reading of [KUBECTL, API_SERVER]) {
    for (const [name, make] of Object.entries(SHAPES)) {
      const source = readAsGo(make(300).replaceAll('x', 'hunter2'), reading)
      if ('value' in source) t.ok(source.lineOf([]) > 0, name)
      else t.notMatch(JSON.stringify(source), /hunter2/, name)
    }
  }
  t.end()
})

void test('expanding aliases of aliases stops early', (t) => {
  const line = (name: string, before: string) => `${name}: &${name} [${`*${before}, `.repeat(9)}]`
  const lines = 'abcdefgh'.split('').map((name, index) => line(name, 'zabcdefg'[index] ?? 'z'))
  t.match(valueOf(`z: &z x\n${lines.join('\n')}`, KUBECTL), /too many aliases/)
  t.end()
})
