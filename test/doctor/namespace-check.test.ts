import { test } from 'tap'

import { checkNamespace } from '../../src/doctor/namespace-check.ts'

const address = 'https://vault.example.com:8200'
const auth = { method: 'token', tokenFile: '/token' } as const

function check(version: string, enterprise?: boolean, vault: object = { namespace: 'team' }) {
  const health = { initialized: true, sealed: false, version, enterprise }
  return checkNamespace([{ address, health, certificates: [] }], { auth, ...vault })
}

// Real servers: OpenBao 2.7.2 reports no "enterprise", Vault 1.17.6 reports false (see doctor.test.ts).
for (const [version, enterprise, level] of [
  ['1.17.6', false, 'warn'],
  ['2.0.1', false, 'warn'],
  ['1.17.6+ent', true, undefined],
  ['2.0.1+ent', true, undefined],
  ['1.13.0', undefined, 'warn'],
  ['1.13.0+ent.hsm', undefined, undefined],
  ['2.2.1', undefined, 'warn'],
  ['2.3.0', undefined, undefined],
  ['2.7.2', undefined, undefined],
  ['unknown', undefined, undefined],
] as const) {
  const words = level === undefined ? 'is accepted' : 'warns'
  void test(`a namespace with version ${version}, enterprise ${String(enterprise)}: ${words}`, async (t) => {
    t.equal(check(version, enterprise)[0]?.level, level)
  })
}

void test('the first rule of csi.rules with a namespace is named', async (t) => {
  const lists = { namespaces: ['*'], serviceAccounts: ['*'], roles: ['*'], keys: ['*'] }
  const rule = { ...lists, types: ['jwks'] } as const
  const rules = [rule, { ...rule, vaultNamespace: '' }, { ...rule, vaultNamespace: 'team-a' }]
  const health = { initialized: true, sealed: false, version: '1.17.6', enterprise: false }
  const views = [{ address, health, certificates: [] }]
  t.match(checkNamespace(views, { auth }, { rules }), [
    { why: /ignores csi\.rules\[2\]\.vaultNamespace \("team-a"\)/ },
  ])
  t.strictSame(checkNamespace(views, { auth }, { rules: [rule] }), [])
})

void test('the key of the login is named if only that is set, and nothing without a namespace', async (t) => {
  t.strictSame(check('1.17.6', false, {}), [])
  const login = { auth: { ...auth, namespace: 'team' } }
  t.match(check('1.17.6', false, login), [{ why: /ignores vault\.auth\.namespace \("team"\)/ }])
})
