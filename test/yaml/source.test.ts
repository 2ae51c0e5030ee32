import { test } from 'tap'
import { readYaml, type YamlOptions } from '../../src/yaml/source.ts'
import { SHAPES } from './shapes.ts'

function firstFault(text: string, limits?: YamlOptions): string {
  const source = readYaml(text, limits)
  if ('value' in source) throw new Error('the text was read')
  const [fault] = source
  return `${String(fault?.line)}:${String(fault?.column)} ${fault?.message ?? ''}`
}

void test('an alias repeats the value of its anchor', (t) => {
  t.match(readYaml('a: &a [1]\nb: *a'), { value: { a: [1], b: [1] } })
  t.match(readYaml('a: &x 1\nb: &x 2\nc: *x'), { value: { c: 2 } })
  t.end()
})

void test('an alias that cannot be expanded is a fault at its position', (t) => {
  t.equal(firstFault('a: 1\nb: *a'), '2:4 an alias refers to no anchor')
  t.equal(firstFault('b: *a\na: &a 1'), '1:4 an alias refers to no anchor')
  t.equal(firstFault('a: &a\n  b: *a'), '2:6 an alias is inside the value that it refers to')
  t.equal(firstFault('a: &a 1\nb: *a', { maxAliases: 0 }), '2:4 contains a YAML alias')
  t.end()
})

void test('aliases are limited in number, and so are aliases of aliases', (t) => {
  const aliases = (count: number) => `a: &a x\nb: [${'*a, '.repeat(count)}]`
  t.match(readYaml(aliases(100)), { value: { a: 'x' } })
  t.match(firstFault(aliases(101)), /too many aliases/)
  const laughs = lines(
    'abcdef',
    (name, before) => `${name}: &${name} [${`*${before}, `.repeat(9)}]`,
  )
  t.match(firstFault(`z: &z x\n${laughs}`), /too many aliases/)
  t.end()
})

void test('a text over 1 MiB is rejected', (t) => {
  t.match(firstFault('#'.repeat(1024 * 1024 + 1)), /is longer than 1024 KiB/)
  t.end()
})

void test('every shape is parsed or rejected, and a message repeats nothing of the text', (t) => {
  for (const [name, make] of Object.entries(SHAPES)) {
    const source = readYaml(make(300).replaceAll('x', 'hunter2'))
    if ('value' in source) t.ok(source.lineOf([]) > 0, name)
    else t.notMatch(JSON.stringify(source), /hunter2/, name)
  }
  t.end()
})

function lines(names: string, line: (name: string, before: string) => string): string {
  return names
    .split('')
    .map((name, index) => line(name, names[index - 1] ?? 'z'))
    .join('\n')
}
