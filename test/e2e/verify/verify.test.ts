// What `verify` says of a store that a real kube-apiserver wrote in every way it can, against a count by other means.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, t, test } from 'tap'
import { stringify } from 'yaml'
import { GROUP_OF } from '../../../src/kube/builtin-groups.ts'
import { pathOfResource, resourceOfPath } from '../../../src/kube/resource.ts'
import type { Report, ResourceReport } from '../../../src/verify/report.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { configKey, rotateKey } from '../../real/vault/transit-setup.ts'
import { reportOf, runVerify } from '../../verify/run-verify.ts'
import { saveSnapshot } from '../../verify/snapshot-of.ts'
import { encryptionConfig, identity, kms, type Provider } from '../encryption-config.ts'
import { newKeyId, noticed } from '../observe.ts'
import { VaultKubernetesKms } from '../life-cycle/vault-kubernetes-kms.ts'
import { startCluster } from '../cluster.ts'

const PASSWORD = 'the-password-that-verify-never-prints'

const { api, etcd, plugin, vault } = await startCluster(t, {
  kms: { v1beta1: true },
  encryptionConfig: () => encryptionConfig([identity]),
  api: { extraArgs: ['--feature-gates=KMSv1=true'] },
})
const foreignSocket = join(tempFolder('foreign'), 'kms.sock')
const foreign = await VaultKubernetesKms.serve(vault.bao, foreignSocket)
after(() => foreign.stop())

const secret = (byte: number) => Buffer.alloc(32, byte).toString('base64')
const aescbc: Provider = { aescbc: { keys: [{ name: 'one', secret: secret(1) }] } }
const secretbox: Provider = { secretbox: { keys: [{ name: 'two', secret: secret(2) }] } }
const others = kms(foreignSocket, { name: 'other' })
const ours = kms(plugin.socket)
const oursV1 = kms(plugin.socket, { name: 'transit-bridge-v1', apiVersion: 'v1' })
const ALL = [ours, others, oursV1, secretbox, aescbc, identity]
const FULL = encryptionConfig(ALL, ['secrets', 'configmaps'])

const endpoint = ['--endpoints', etcd.address]
const deep = ['--deep', '--objects', '--config', configFile({})]

function configFile(kmsSection: Record<string, unknown>): string {
  const { vault: section } = vault.configuration()
  const file = join(tempFolder('verify'), 'config.yaml')
  const document = {
    vault: section,
    transit: { key: KEY },
    kms: { clusterId: 'test-cluster', ...kmsSection },
  }
  writeFileSync(file, stringify(document))
  return file
}

/** Writes as many Secrets as there are numbers, with this provider in front of all others. */
async function writeWith(first: Provider, names: string, count: number): Promise<void> {
  const providers = [first, ...ALL.filter((each) => each !== first)]
  await api.restart({ encryptionConfig: encryptionConfig(providers, ['secrets', 'configmaps']) })
  for (let at = 0; at < count; at += 1) {
    await api.createSecret('default', `${names}-${String(at)}`, { password: PASSWORD })
  }
}

/** Counted without any of the code under test: by etcd's JSON gateway and the text in front of each value. */
async function countByHand(path: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { value } of await etcd.range(`/registry/${path}`)) {
    const text = value.toString('latin1')
    const [, scheme, version = '', name = ''] = /^k8s:enc:(\w+):(v\d):([^:]+):/.exec(text) ?? []
    const provider =
      scheme === undefined
        ? `plaintext ${text.startsWith('{') ? 'json' : 'protobuf'}`
        : `${scheme}${scheme === 'kms' ? ` ${version}` : ''} ${name}`
    const keyVersion = scheme === 'kms' ? /vault:v(\d+):/.exec(text)?.[1] : undefined
    const row = keyVersion === undefined ? provider : `${provider} @${keyVersion}`
    counts[row] = (counts[row] ?? 0) + 1
  }
  return counts
}

function countsOf({ groups }: ResourceReport): Record<string, number> {
  const rows = groups.map(({ provider, keyVersion, objects }) => [
    keyVersion === undefined ? provider : `${provider} @${String(keyVersion)}`,
    objects,
  ])
  return Object.fromEntries(rows) as Record<string, number>
}

function find(report: Report, resource: string): ResourceReport {
  const found = report.resources.find((each) => each.resource === resource)
  if (found === undefined) throw new Error(`the report has no ${resource}`)
  return found
}

void test('an API server that encrypts nothing: every Secret is plaintext, by name', async (t) => {
  await api.createSecret('default', 'plain-0', { password: PASSWORD })
  const { code, report } = await reportOf(...endpoint)
  t.equal(code, 1)
  t.match(report, { ok: false, plain: 1, unreadable: 0, seeds: 0, keyVersionsNeeded: [] })
  t.same(find(report, 'secrets').plainKeys, ['/registry/secrets/default/plain-0'])
  t.match(await runVerify(...endpoint, '--allow', 'secrets'), { code: 0, stderr: '' })
})

void test('counts are right to the object, for each way that an object can be stored', async (t) => {
  await writeWith(identity, 'more-plain', 4)
  await writeWith(aescbc, 'cbc', 2)
  await writeWith(secretbox, 'box', 3)
  await writeWith(others, 'other', 2)
  await writeWith(oursV1, 'v1', 2)
  await writeWith(ours, 'first', 5)
  const { keyId } = await plugin.client.status()
  await rotateKey(vault.bao, KEY)
  await noticed(api, await newKeyId(plugin, keyId))
  for (let at = 0; at < 4; at += 1) await api.createSecret('default', `second-${String(at)}`, {})
  await api.api('POST', '/api/v1/namespaces/default/configmaps', { metadata: { name: 'one' } })

  const { code, report } = await reportOf(...endpoint)
  t.equal(code, 1)
  const secrets = find(report, 'secrets')
  const counted = await countByHand('secrets/')
  t.same(countsOf(secrets), counted)
  t.match(counted, {
    'kms v2 transit-bridge @2': 4,
    'kms v2 transit-bridge @1': 5,
    'kms v2 other @1': 2,
    'kms v1 transit-bridge-v1 @1': 2,
    'secretbox two': 3,
    'aescbc one': 2,
  })
  t.same(
    secrets.groups.map((group) => [group.provider, group.keyVersion, group.seeds]).slice(0, 2),
    [
      ['kms v2 transit-bridge', 2, 1],
      ['kms v2 transit-bridge', 1, 1],
    ],
  )
  t.match(secrets.groups.at(-1)?.provider, /^plain/, 'what is left to do is last')
  t.same(countsOf(find(report, 'configmaps')), await countByHand('configmaps/'))
  t.same(
    report.keyVersionsNeeded.find(({ provider }) => provider === 'kms v2 transit-bridge'),
    {
      provider: 'kms v2 transit-bridge',
      versions: [2, 1],
    },
  )
  t.equal(report.objects, (await etcd.range('/registry/')).length)
})

void test('an EncryptionConfiguration says what must be encrypted, and what writes', async (t) => {
  const file = join(tempFolder('verify'), 'encryption.yaml')
  writeFileSync(file, FULL)
  const { report } = await reportOf(...endpoint, '--encryption-config', file)
  t.match(find(report, 'secrets'), { toBeEncrypted: true, otherProvider: 9 })
  t.match(find(report, 'configmaps'), { toBeEncrypted: true })
  t.match(find(report, 'namespaces'), { toBeEncrypted: false })
})

void test('a snapshot file is read the same as the live store', async (t) => {
  const file = await saveSnapshot(etcd)
  const live = await reportOf(...endpoint)
  const saved = await reportOf('--snapshot', file)
  const counts = ({ report }: typeof live) =>
    report.resources.map(({ resource, groups }) => [resource, groups])
  t.same(counts(saved), counts(live))
  t.match(saved.report, { source: 'snapshot snapshot.db', revisions: [/^\d+$/] })
})

void test('every seed and every object is decrypted, or reported as not ours to prove', async (t) => {
  const { code, report } = await reportOf(...endpoint, ...deep)
  t.equal(code, 1)
  t.match(report, { unreadable: 0, depth: 'objects', vaultUid: /^verify-/ })
  t.equal(find(report, 'secrets').unproven, 2 + 3 + 2, 'aescbc, secretbox, the other plugin')
  t.match(find(report, 'secrets').unprovenKeys[0]?.why, /another plugin|EncryptionConfiguration/)
  const accepting = configFile({ acceptFrom: ['vault-kubernetes-kms'] })
  const all = await reportOf(...endpoint, '--deep', '--objects', '--config', accepting)
  t.match(find(all.report, 'secrets'), { unreadable: 0, unproven: 2 + 3 })
  const { stdout, stderr } = await runVerify(...endpoint, ...deep)
  t.notMatch(stdout + stderr, PASSWORD)
  t.notMatch(stdout + stderr, Buffer.from(PASSWORD).toString('base64'))
})

void test('what is damaged is named, and the API server cannot read it either', async (t) => {
  const damage = async (name: string, change: (text: string) => string) => {
    const whole = await etcd.get('/registry/secrets/default/second-0')
    if (whole === undefined) throw new Error('second-0 is gone')
    const text = change(whole.toString('latin1'))
    await etcd.put(`/registry/secrets/damaged/${name}`, Buffer.from(text, 'latin1'))
    return `/registry/secrets/damaged/${name}`
  }
  // An envelope begins with the object's data and ends with the type of its DEK source.
  const damaged = {
    copied: (text: string) => text,
    seed: (text: string) => text.replace(/(?<=vault:v2:.{20})..../, 'AAAA'),
    version: (text: string) => text.replace('vault:v2:', 'vault:v1:'),
    cluster: (text: string) => text.replace('test-cluster', 'evil-cluster'),
    object: (text: string) =>
      text.replace(/(?<=^k8s:enc:kms:v2:transit-bridge:.{60})./s, (byte) =>
        byte === 'x' ? 'y' : 'x',
      ),
    cut: (text: string) => text.slice(0, 200),
    type: (text: string) => `${text.slice(0, -1)}x`,
  }
  const keys: string[] = []
  for (const [name, change] of Object.entries(damaged)) keys.push(await damage(name, change))
  const { report } = await reportOf(...endpoint, '--resources', 'secrets', ...deep)
  const named = find(report, 'secrets').unreadableKeys
  t.same(
    named.map(({ key }) => key),
    keys.toSorted(),
  )
  for (const { key, why } of named) {
    t.comment(`${key}: ${why}`)
    const name = key.split('/').at(-1) ?? ''
    const { status } = await api.request('GET', `/api/v1/namespaces/damaged/secrets/${name}`)
    t.equal(status, 500, name)
  }
  t.equal(report.unreadable, keys.length)
  for (const key of keys) await etcd.delete(key)
})

void test('a key version that Vault no longer decrypts makes its objects unreadable', async (t) => {
  await configKey(vault.bao, KEY, { min_decryption_version: 2 })
  const { report } = await reportOf(...endpoint, '--resources', 'secrets', ...deep)
  const { unreadable, unreadableKeys } = find(report, 'secrets')
  t.equal(unreadable, 5 + 2)
  for (const { why } of unreadableKeys) t.match(why, /min_decryption_version 2 disables/)
  await configKey(vault.bao, KEY, { min_decryption_version: 1 })
})

void test('with *.* all is encrypted, and groups of resources are those of the API', async (t) => {
  await api.restart({ encryptionConfig: encryptionConfig(ALL, ['*.*']) })
  for (const { key } of await etcd.range('/registry/secrets/default/')) {
    await api.patchSecret('default', key.split('/').at(-1) ?? '')
  }
  await api.createSecret('default', 'last', { password: PASSWORD })
  const { report } = await reportOf(...endpoint, ...deep)
  const secrets = find(report, 'secrets')
  t.same(countsOf(secrets), await countByHand('secrets/'))
  t.match(secrets, { plain: 0, unreadable: 0, unproven: 0 })
  t.match(find(report, 'leases.coordination.k8s.io').groups[0], {
    provider: 'kms v2 transit-bridge',
  })
  for (const each of report.resources) {
    const hand = await countByHand(pathOfResource(parse(each.resource)))
    t.same(Object.keys(countsOf(each)).toSorted(), Object.keys(hand).toSorted(), each.resource)
  }
})

void test('the table of groups is that of the API server itself', async (t) => {
  const { groups } = await api.api('GET', '/apis')
  const places = [
    ['', '/api/v1'],
    ...(groups as { name: string; preferredVersion: { groupVersion: string } }[]).map(
      ({ name, preferredVersion }) => [name, `/apis/${preferredVersion.groupVersion}`],
    ),
  ] as [string, string][]
  for (const [group, path] of places) {
    const { resources } = await api.api('GET', path)
    for (const { name, verbs } of resources as { name: string; verbs: string[] }[]) {
      const isStored = verbs.includes('get') && verbs.includes('list') && !name.includes('/')
      if (!isStored || name === 'componentstatuses' || group === 'events.k8s.io') continue
      t.equal(GROUP_OF.get(name), group, name)
      t.same(resourceOfPath(pathOfResource({ name, group })), { name, group })
    }
  }
})

function parse(resource: string): { name: string; group: string } {
  const [name = '', ...group] = resource.split('.')
  return { name, group: group.join('.') }
}
