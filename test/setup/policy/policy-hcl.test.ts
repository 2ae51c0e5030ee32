import { test } from 'tap'

import { renderKmsPolicy } from '../../../src/setup/policy/policy-file.ts'
import { readGrants } from '../../../src/setup/policy/policy-hcl.ts'
import { findWider } from '../../../src/setup/policy/policy-part.ts'

function shown(text: string): Record<string, string> | undefined {
  const grants = readGrants(text)
  if (grants === undefined) return undefined
  return Object.fromEntries(
    [...grants].map(([path, { capabilities, limits }]) => [
      path,
      [capabilities.join(','), ...limits].join(' '),
    ]),
  )
}

void test('our policy, for another mount and key', async (t) => {
  t.strictSame(shown(renderKmsPolicy({ mount: 'team/transit', key: 'a.b' })), {
    'team/transit/encrypt/a.b': 'update',
    'team/transit/decrypt/a.b': 'update',
    'team/transit/keys/a.b': 'read',
  })
})

/** Ways to write a policy, and what it grants. */
const WAYS: readonly (readonly [what: string, text: string, grants: Record<string, string>])[] = [
  ['nothing', '', {}],
  [
    'comments of all kinds',
    '# a\n// b\n/* c\n */ path "x" { # d\n capabilities = ["read"] }',
    { x: 'read' },
  ],
  [
    'a list over several lines, with a comma at its end',
    'path "x" {\n capabilities = [\n "read",\n "list",\n ]\n}',
    { x: 'list,read' },
  ],
  ['JSON', '{"path": {"x": {"capabilities": ["update"]}}}', { x: 'update' }],
  ['the words of old', 'path "x" { policy = "write" }', { x: 'create,delete,list,read,update' }],
  [
    'a path twice',
    'path "x" { capabilities = ["read"] }\npath "x" { capabilities = ["list"] }',
    { x: 'list,read' },
  ],
  [
    'limits',
    'path "x" { capabilities = ["update"]\n allowed_parameters = { "a" = ["1"], "*" = [] }\n min_wrapping_ttl = "1s" }',
    { x: 'update allowed_parameters min_wrapping_ttl' },
  ],
  [
    'a name, and quoted words',
    'name = "n"\n"path" "x" { "capabilities" = ["read"] }',
    { x: 'read' },
  ],
  ['an escape in a path', 'path "a\\"b" { capabilities = ["deny"] }', { 'a"b': 'deny' }],
]
for (const [what, text, grants] of WAYS) {
  void test(`a policy with ${what} is read`, async (t) => t.strictSame(shown(text), grants))
}

for (const text of [
  'path "x" {',
  'path x { }',
  'key "x" { policy = "read" }',
  '{"path": 1}',
  '{',
  'path "x" { capabilities }',
  '%',
]) {
  void test(`${JSON.stringify(text)} is not taken for a policy`, async (t) => {
    t.equal(readGrants(text), undefined)
  })
}

void test('deny is not wider; everything else that is added is', async (t) => {
  const read = (text: string) => readGrants(text) ?? new Map()
  const ours = read('path "x" { capabilities = ["read"] }')
  const theirs = read(
    'path "x" { capabilities = ["read", "sudo"] }\npath "y" { capabilities = ["deny"] }\npath "z" { capabilities = ["list"] }',
  )
  t.strictSame(findWider(theirs, ours), ['x also allows sudo', 'z also allows list'])
})
