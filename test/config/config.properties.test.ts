import { deepStrictEqual, equal, ok } from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'tap'
import { parse as parseYaml, stringify } from 'yaml'

import { ConfigError, formatPath, type Path } from '../../src/yaml/fault.ts'
import { holds } from '../property.ts'
import { faultsOf, parse, VALID } from './valid-config.ts'

const SECRET = 'hunter2-of-the-environment'
const ENVIRONMENT = { SECRET }

type Tree = Record<string, unknown>

/** Every place in the valid configuration: sections, keys and entries of lists. */
function placesOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path]
  const own = Object.entries(value).flatMap(([key, each]) =>
    placesOf(each, [...path, Array.isArray(value) ? Number(key) : key]),
  )
  return path.length === 0 ? own : [path, ...own]
}

const PLACES = placesOf(parseYaml(VALID))
const place = fc.constantFrom(...PLACES)
/** Texts that are almost right somewhere, separated by spaces. */
const TEXTS =
  '/ 0 30 30s -1s 999999999d 127.0.0.1:1 [::]:9 https://v * root ../.. __proto__ $ ${ ${} ${NOT_SET} ${SECRET} x${SECRET}'
const hostile = fc.oneof(
  fc.constantFrom<unknown>(null, true, 0, -1, 1.5, 1e21, [], {}, [[]], [null], { '': 1 }),
  fc.constantFrom(...TEXTS.split(' '), '', ' ', '\0', 'a\nb', '\u202e', 'x'.repeat(5_000)),
  fc.jsonValue({ maxDepth: 2 }),
  fc.string({ unit: 'binary', maxLength: 12 }),
)
const unknownKey = fc.constantFrom(
  '__proto__',
  'constructor',
  'toString',
  'Timeout',
  'adress',
  'x',
  '',
)

const mutation = fc.record({
  place,
  how: fc.constantFrom('replace', 'replace', 'remove', 'add'),
  value: hostile,
  key: unknownKey,
})
type Mutation = typeof mutation extends fc.Arbitrary<infer Value> ? Value : never

function set(target: object, key: string | number, value: unknown): void {
  Object.defineProperty(target, key, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  })
}

/** The valid configuration with one change. */
function change({ place: path, how, value, key }: Mutation): Tree {
  const tree = parseYaml(VALID) as Tree
  const parent = path.slice(0, -1).reduce<unknown>((at, part) => (at as Tree)[part], tree) as object
  const last = path.at(-1) ?? ''
  if (how === 'replace') set(parent, last, value)
  else if (how === 'add' && !Array.isArray(parent)) set(parent, key, value)
  else if (Array.isArray(parent)) parent.splice(Number(last), 1)
  else Reflect.deleteProperty(parent, last)
  return tree
}

/** The configuration of a text, or its faults without their lines. */
function outcomeOf(text: string): unknown {
  try {
    return parse(text, ENVIRONMENT)
  } catch (error) {
    ok(error instanceof ConfigError, String(error))
    equal(error.code, 'CONFIG_INVALID')
    ok(!error.message.includes(SECRET), error.message)
    return faultsOf(text, ENVIRONMENT)
      .map(({ path, message, hint }) => [path, message, hint].join())
      .toSorted()
  }
}

holds(
  'a configuration with one change is accepted, or its faults name the place; YAML and JSON are read alike',
  [mutation],
  (given) => {
    const tree = change(given)
    const text = JSON.stringify(tree)
    const outcome = outcomeOf(text)
    const ofYaml = outcomeOf(stringify(tree))
    deepStrictEqual(ofYaml, outcome)
    equal(Object.keys(Object.prototype).length, 0)
    equal(Reflect.get({}, 'x'), undefined)
    if (!Array.isArray(outcome)) return
    ok(outcome.length > 0)
    const parent = given.place.slice(0, -1)
    const isInList = typeof given.place.at(-1) === 'number'
    const path = isInList ? parent : given.how === 'add' ? [...parent, given.key] : given.place
    const isNamed = outcome.some((fault: string) => {
      const [named = ''] = fault.split(',')
      const wanted = formatPath(path)
      return named.startsWith(wanted) || fault.includes(String(path.at(-1)))
    })
    ok(isNamed, `${formatPath(path)}: ${outcome.join(' | ')}`)
  },
  300,
)

void test('no message shows what a variable contains, in the place of any value', (t) => {
  for (const path of PLACES) {
    for (const value of ['${SECRET}', 'x-${SECRET}', ['${SECRET}'], { a: '${SECRET}' }])
      outcomeOf(stringify(change({ place: path, how: 'replace', value, key: '' })))
  }
  t.end()
})

holds(
  'two changes at once are two faults at most, or accepted, and nothing else is thrown',
  [mutation, mutation],
  (one, other) => {
    const tree = change(one)
    const parent = other.place
      .slice(0, -1)
      .reduce<unknown>((at, part) => (at as Tree | undefined)?.[part], tree)
    if (typeof parent === 'object' && parent !== null)
      set(parent, other.place.at(-1) ?? '', other.value)
    outcomeOf(JSON.stringify(tree))
  },
  200,
)

holds(
  'any text is a configuration or has faults, none of which shows the environment',
  [
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({
        unit: fc.constantFrom(
          'vault:',
          '\n',
          '  ',
          '- ',
          '{',
          '}',
          '&a',
          '*a',
          '${SECRET}',
          '"',
          '<<: *a',
          '? ',
          '!!binary ',
        ),
        maxLength: 20,
      }),
      fc
        .tuple(
          fc.nat(),
          fc.nat({ max: 20 }),
          fc.constantFrom('', '\t', '{', '${SECRET}', '\n', '&a ', ': ', '\0'),
        )
        .map(([at, length, other]) => {
          const start = at % VALID.length
          return VALID.slice(0, start) + other + VALID.slice(start + length)
        }),
    ),
  ],
  (text) => void outcomeOf(text),
  300,
)
