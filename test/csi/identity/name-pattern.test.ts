import { test } from 'tap'
import { NamePatterns } from '../../../src/csi/identity/name-pattern.ts'

const PATTERNS: readonly (readonly [
  pattern: string,
  fits: readonly string[],
  fitsNot: readonly string[],
])[] = [
  ['shop', ['shop'], ['shop-a', 'ashop', '', 'Shop']],
  ['*', ['', 'a', 'a.b-c'], []],
  ['shop-*', ['shop-', 'shop-a', 'shop-a-b'], ['shop', 'ashop-a']],
  ['*-prod', ['-prod', 'a-prod'], ['prod', 'a-prod-b']],
  ['a*b*c', ['abc', 'a1b2c', 'abbcc'], ['ac', 'acb', 'ab', 'bc']],
  ['ab*ba', ['abba', 'ab-ba'], ['aba', 'ab']],
  ['a**b', ['ab', 'a-b'], ['a']],
  ['a.c', ['a.c'], ['abc']],
  ['*a*a*', ['aa', 'bab-a'], ['a', 'bab']],
]

for (const [pattern, fits, fitsNot] of PATTERNS) {
  void test(`the pattern ${pattern} matches what it says and nothing else`, (t) => {
    for (const name of fits) t.ok(new NamePatterns([pattern]).matches(name), JSON.stringify(name))
    for (const name of fitsNot)
      t.notOk(new NamePatterns([pattern]).matches(name), JSON.stringify(name))
    t.end()
  })
}

void test('a pattern with many stars is matched without backtracking', (t) => {
  // With the backtracking of a regular expression, this would exceed the timeout of the test.
  t.notOk(new NamePatterns([`${'*a'.repeat(60)}*b`]).matches('a'.repeat(253)))
  t.end()
})
