import { setImmediate } from 'node:timers/promises'
import { test } from 'tap'
import type { CsiRule } from '../../../src/config/config.ts'
import { AccessRules } from '../../../src/csi/identity/access-rules.ts'
import { parseClass } from '../../../src/csi/class/secret-provider-class.ts'

const home = { vaultNamespace: '', mount: 'transit' }
const subject = { namespace: 'shop', serviceAccount: 'web' }
const RULE: CsiRule = {
  namespaces: ['shop', 'shop-*'],
  serviceAccounts: ['*'],
  roles: ['web'],
  keys: [],
  types: ['publicKey', 'jwks'],
}

function rulesWith(...rules: Partial<CsiRule>[]): AccessRules {
  const guarded = { key: 'k8s-etcd', place: home }
  return new AccessRules({ rules: rules.map((rule) => ({ ...RULE, ...rule })), home, guarded })
}

function classOf(keys: readonly string[]) {
  const objects = [{ path: 'jwks.json', type: 'jwks', keys }]
  return parseClass({ role: 'web', objects: JSON.stringify(objects) })
}

const KEYS = Array.from({ length: 100 }, (_none, index) => `team-${String(index)}-app-signing`)
const WILDCARDS = Array.from({ length: 5_000 }, (_none, index) => `*-x${String(index)}-*-signing`)

void test('other work runs while thousands of patterns are tried for all keys of a class', async (t) => {
  const wanted = await classOf(KEYS)
  const rules = rulesWith({ keys: WILDCARDS })
  const decision = rules.require(subject, wanted).catch((thrown: unknown) => thrown)
  const turn = () => setImmediate<unknown>('turn')
  let turns = 0
  let error = await Promise.race([decision, turn()])
  for (; error === 'turn'; turns += 1) error = await Promise.race([decision, turn()])
  t.ok(turns > 5, String(turns))
  t.match(error, { code: 'RULE_DENIED', message: /key "team-0-app-signing" \(keys\)/ })
  t.equal(rules.findDenials(subject, wanted).length, KEYS.length)
})

void test('one pattern among thousands allows the keys that it matches', async (t) => {
  const wanted = await classOf(KEYS)
  const rules = rulesWith({ keys: [...WILDCARDS, 'team-1*-app-*'] })
  const denied = rules.findDenials(subject, wanted)
  const isAllowed = (key: string) => key.startsWith('team-1')
  t.equal(denied.length, KEYS.filter((key) => !isAllowed(key)).length)
  t.notOk(denied.some((text) => text.includes('"team-1')))
  await rules.require(subject, await classOf(KEYS.filter(isAllowed)))
})

void test('each object is named that no rule allows, also when they use the same key', async (t) => {
  const objects = ['a', 'b'].map((path) => ({ path, type: 'publicKey', key: 'other' }))
  const wanted = await parseClass({ role: 'web', objects: JSON.stringify(objects) })
  const denied = rulesWith({ keys: ['app-*'] }).findDenials(subject, wanted)
  t.same(
    denied.map((text) => text.split(':')[0]),
    ['objects[0] (a)', 'objects[1] (b)'],
  )
})

void test('no pattern allows the key of the KMS plugin, only its exact name', async (t) => {
  const wanted = await classOf(['k8s-etcd'])
  for (const keys of [['*'], ['k8s-*'], ['k8s-etcd*']])
    t.match(rulesWith({ keys }).findDenials(subject, wanted), [/exact name/], keys.join())
  t.same(rulesWith({ keys: ['*', 'k8s-etcd'] }).findDenials(subject, wanted), [])
})
