import { after, test } from 'tap'
import { Etcd } from '../../real/cluster/etcd.ts'
import { KEY, KmsVault } from '../../real/vault/kms-vault.ts'
import { configKey, rotateKey } from '../../real/vault/transit-setup.ts'
import { KUBE_SYSTEM } from '../../verify/envelopes.ts'
import { reportOf, runVerify } from '../../verify/run-verify.ts'
import { makeSeeds, sealedValue, writeConfig } from '../../verify/sealed-values.ts'
import { putAll, saveSnapshot } from '../../verify/snapshot-of.ts'

const [vault, etcd] = await Promise.all([KmsVault.start(), Etcd.start()])
after(() => Promise.all([vault.stop(), etcd.stop()]))
await rotateKey(vault.bao, KEY)
const seeds = await makeSeeds(vault, 150)
const entries = Array.from({ length: 300 }, (_, at) => {
  const key = `/registry/secrets/a/s${String(at)}`
  return [key, sealedValue(key, 'k8s\0 hunter2', seeds[at % seeds.length])] as const
})
await putAll(etcd, [KUBE_SYSTEM, ...entries])

const live = ['--endpoints', etcd.address]
const deep = ['--deep', '--config', writeConfig(vault)]

void test('every seed is decrypted once, in few requests, under a separate uid', async (t) => {
  for (const objects of [[], ['--objects']]) {
    const mark = vault.bao.auditMark()
    const { code, report } = await reportOf(...live, ...deep, ...objects)
    t.match(report, { ok: true, objects: 301, seeds: 150, unreadable: 0, unproven: 0 })
    t.equal(code, 0)
    const asked = vault.bao.auditRequests({ since: mark, path: `transit/decrypt/${KEY}` })
    t.ok(asked.length <= 5, `${String(asked.length)} requests`)
    for (const { headers } of asked) {
      t.same(
        headers['x-transit-bridge-uid'],
        [report.vaultUid],
        'so that an audit shows the caller',
      )
    }
  }
})

void test('a snapshot is proved like the live store', async (t) => {
  const file = await saveSnapshot(etcd)
  const { code, report } = await reportOf('--snapshot', file, ...deep, '--objects')
  t.match(report, { ok: true, objects: 301, seeds: 150, depth: 'objects' })
  t.equal(code, 0)
})

void test('what cannot be read is counted and named; no value is printed', async (t) => {
  await configKey(vault.bao, KEY, { min_decryption_version: 2 })
  const { code, stdout, stderr } = await runVerify(...live, ...deep, '--objects')
  t.equal(code, 1)
  t.match(stdout, /\nNOT ok: of 301 objects: 150 unreadable\n$/)
  t.match(stdout, /\n {2}\/registry\/secrets\/a\/s\d+: its DEK seed: .*disables/)
  t.match(stdout, /\n {2}and 130 more\n/)
  t.notMatch(stdout, 'kubectl delete', 'a version that can be enabled again is no damage')
  t.equal(stderr, '')
  t.notMatch(stdout, /hunter2/)
  await configKey(vault.bao, KEY, { min_decryption_version: 1 })
})

void test('data under the key of another plugin in the same store is not proved by this one', async (t) => {
  await vault.bao.api('POST', 'transit/keys/another-key', {})
  const others = await makeSeeds(vault, 1, 'another-key')
  const key = '/registry/configmaps/a/of-another-plugin'
  await etcd.put(key, sealedValue(key, 'k8s\0', others[0]))
  const { code, stdout } = await runVerify(...live, ...deep, '--objects')
  t.equal(code, 1)
  t.match(stdout, /NOT ok: of 302 objects: 1 unreadable/)
  t.match(stdout, `${key}: its DEK seed: the key id matches no version of transit key ${KEY}`)
  t.match(stdout, 'the data was encrypted with another key')
  t.notMatch(stdout, 'kubectl delete')
  await etcd.delete(key)
})

void test('a Vault that refuses or does not answer is one line, without a verdict on the data', async (t) => {
  await vault.writePolicy('path "transit/keys/*" { capabilities = ["read"] }')
  t.match(await runVerify(...live, ...deep), {
    code: 1,
    stdout: '',
    stderr: /^transit-bridge: .*\n$/,
  })
  await vault.writePolicy()
  await vault.bao.seal()
  t.match(await runVerify(...live, ...deep), {
    code: 1,
    stdout: '',
    stderr: /^transit-bridge: .*\n$/,
  })
  await vault.bao.unseal()
})
