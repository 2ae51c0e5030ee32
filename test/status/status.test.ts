import { test } from 'tap'

import { readPlugin } from '../../src/convergence/plugin-view.ts'
import { makeClusterStatus } from '../../src/status/cluster-status.ts'
import { KeyVersions } from '../../src/storage/key-versions.ts'
import { hashKeyId } from '../../src/seed/key-id.ts'
import type { Report } from '../../src/verify/report.ts'
import { formatStatus } from '../../src/status/text.ts'
import { acceptResources, listStale } from '../../src/verify/stale.ts'
import { oldestVersion, sharesOf } from '../../src/verify/stored-keys.ts'
import { makeKeyId } from '../../src/seed/key-id.ts'
import type { AdministeredKey } from '../../src/operator/key-admin.ts'
import { NAMED } from '../convergence/named.ts'
import { servePluginAdmin } from './plugin-admin.ts'
import { NO_FAULTS } from '../verify/no-faults.ts'

const key: AdministeredKey = {
  name: 'k',
  type: 'aes256-gcm96',
  latestVersion: 2,
  minDecryptionVersion: 1,
  minEncryptionVersion: 0,
  derived: false,
  softDeleted: false,
  versions: new Map([
    [1, { createdAt: 1_000 }],
    [2, { createdAt: 2_000 }],
  ]),
  autoRotateSeconds: 0,
}
const idOf = (keyVersion: number) =>
  makeKeyId({ clusterId: 'c', keyName: 'k', keyVersion, createdAt: keyVersion * 1_000 })

const group = (keyVersion: number, objects: number, provider = 'kms v2 tb') => ({
  provider,
  objects,
  seeds: 1,
  keyVersion,
  keyId: idOf(keyVersion),
  keyIdHash: hashKeyId(idOf(keyVersion)),
})
const report: Report = {
  ok: true,
  source: 'etcd',
  prefix: '/registry/',
  revisions: [],
  depth: 'envelopes',
  objects: 14,
  seeds: 2,
  plain: 0,
  unreadable: 0,
  unproven: 0,
  gaps: [],
  resources: [
    {
      resource: 'secrets',
      toBeEncrypted: true,
      objects: 10,
      ...NO_FAULTS,
      groups: [group(2, 7), group(1, 3)],
    },
    {
      resource: 'configmaps',
      toBeEncrypted: true,
      objects: 3,
      ...NO_FAULTS,
      otherProvider: 1,
      groups: [group(2, 2), { provider: 'aescbc k1', objects: 1, seeds: 0 }],
    },
    {
      resource: 'pods',
      toBeEncrypted: false,
      objects: 1,
      ...NO_FAULTS,
      groups: [{ provider: 'plaintext protobuf', objects: 1, seeds: 0 }],
    },
  ],
  keyVersionsNeeded: [{ provider: 'kms v2 tb', versions: [2, 1] }],
}

void test('stored objects by key version, and which of them are outdated', (t) => {
  t.match(sharesOf(report), [
    { keyVersion: 2, objects: 9 },
    { keyVersion: 1, objects: 3 },
    { provider: 'aescbc k1', objects: 1 },
  ])
  const stale = (given: Report, hash: string, isTarget = false) =>
    Object.fromEntries(
      listStale(given, { hashes: new Map([['tb', hash]]), isTarget: () => isTarget }),
    )
  t.same(stale(report, hashKeyId(idOf(2))), { secrets: 3, configmaps: 1 })
  t.same(stale(acceptResources(report, new Set(['configmaps'])), hashKeyId(idOf(2))), {
    secrets: 3,
  })
  const resources = report.resources.map((each) => ({ ...each, otherProvider: undefined }))
  t.same(stale({ ...report, resources }, hashKeyId(idOf(2))), { secrets: 3 }, 'not to be rewritten')
  t.same(stale({ ...report, resources }, hashKeyId(idOf(2)), true), { secrets: 3, configmaps: 1 })
  t.equal(oldestVersion(report), 1)
  t.equal(oldestVersion({ ...report, keyVersionsNeeded: [] }), undefined)
  t.end()
})

void test('a table with the key, nodes, shares, and all problems', (t) => {
  const now = Date.UTC(2026, 0, 1)
  const plugin = {
    address: 'http://p',
    ready: true,
    reason: 'VAULT_SEALED',
    message: 'ok',
    keyId: idOf(1),
    keyVersion: 1,
  }
  const status = makeClusterStatus({
    reading: {
      ...NAMED,
      apiServers: [
        {
          server: 'https://a',
          keys: new Map([['tb', { hash: hashKeyId(idOf(1)), ageSeconds: 4.4 }]]),
        },
        { server: 'https://b', keys: new Map() },
      ],
      plugins: [
        { ...plugin, tokenExpiresAt: new Date(now + 3 * 3_600_000).toISOString() },
        { ...plugin, address: 'http://q', tokenExpiresAt: new Date(now - 1).toISOString() },
      ],
    },
    demand: {},
    key: { ...key, autoRotateSeconds: 1_000 },
    versions: new KeyVersions(key, 'c', ['other']),
    report,
    now,
  })
  t.notOk(status.ok)
  const text = formatStatus(status, now)
  t.match(text, /transit key k: version 2 since .*; next rotation due .*, by Vault/)
  t.match(text, /plugin +http:\/\/p +[0-9a-f]{12} +1 +3 h +- +ok, in its grace \(VAULT_SEALED\)/)
  t.match(text, /http:\/\/q .* expired/)
  t.match(text, /api server +https:\/\/a +[0-9a-f]{12} +1 +- +4 s ago +ok/)
  t.match(text, /9 \(69 %\) by kms v2 tb, version 2/)
  t.match(text, 'problem: the API servers have different keys of provider tb')
  t.match(text, 'problem: transit key k was due for rotation at')
  t.match(text, 'has version 1 of the key, but Vault has version 2')
  const plain = makeClusterStatus({
    reading: { ...NAMED, apiServers: [], plugins: [] },
    demand: {},
    key,
    rotateEvery: 1,
    now: 0,
  })
  t.match(plain.key, { rotatedBy: 'operator' })
  t.match(
    formatStatus(
      makeClusterStatus({
        reading: { ...NAMED, apiServers: [], plugins: [] },
        demand: {},
        key,
        now,
      }),
      now,
    ),
    /no rotation is planned/,
  )
  t.end()
})

void test('what it shows of etcd is checked', (t) => {
  const reading = { ...NAMED, apiServers: [], plugins: [] }
  const faultsOf = (report_: Report, key_: AdministeredKey | undefined) =>
    makeClusterStatus({ reading, demand: {}, report: report_, key: key_, now: 0 }).faults
  t.same(faultsOf(report, key), [])
  t.match(faultsOf(report, { ...key, minDecryptionVersion: 2 }), [
    /etcd: 3 objects of kms v2 tb are under version 1, which Vault does not decrypt/,
  ])
  const trimmed = { ...key, versions: new Map([[2, { createdAt: 2_000 }]]) }
  t.match(faultsOf(report, trimmed), [/under version 1, which Vault does not decrypt/])
  t.match(faultsOf({ ...report, ok: false, plain: 7, gaps: ['no kube-system'] }, key), [
    'etcd: 7 in plaintext',
    'etcd: no kube-system',
  ])
  t.end()
})

void test('data under a key id that Vault does not have is a fault, regardless of its version number', (t) => {
  const server = (keys: Record<string, string>) => ({
    server: 'https://a',
    keys: new Map(
      Object.entries(keys).map(([name, id]) => [name, { hash: hashKeyId(id), ageSeconds: 1 }]),
    ),
    writes: Object.entries(keys).map(([provider, id]) => ({
      provider,
      hash: hashKeyId(id),
      at: 1_000,
    })),
  })
  const faultsOf = (keys: Record<string, string>, createdAt: number) => {
    const now = {
      ...key,
      versions: new Map([1, 2].map((each) => [each, { createdAt: each * createdAt }])),
    }
    const versions = new KeyVersions(now, 'c')
    const reading = { ...NAMED, apiServers: [server(keys)], plugins: [] }
    return makeClusterStatus({ reading, demand: {}, report, key: now, versions, now: 0 }).faults
  }
  const again = makeKeyId({ clusterId: 'c', keyName: 'k', keyVersion: 2, createdAt: 10_000 })
  t.same(faultsOf({ tb: idOf(2) }, 1_000), [])
  t.match(faultsOf({ tb: again }, 5_000), [
    /etcd: 9 objects of kms v2 tb are under key [0-9a-f]{12}, which matches no version of transit key k/,
    /etcd: 3 objects of kms v2 tb are under key [0-9a-f]{12}, which matches no version of transit key k/,
  ])
  t.same(faultsOf({ tb: 'of another plugin', mine: again }, 5_000), [])
  t.match(faultsOf({ tb: idOf(2) }, 5_000), [
    /no API server uses transit key k; check that --config/,
  ])
  t.end()
})

/** Ready, although Vault does not answer. */
const DURING_OUTAGE = {
  address: 'http://p',
  ready: true,
  reason: 'VAULT_SEALED',
  message: '',
  keyId: idOf(2),
}

void test('a plugin in its grace is a fault', (t) => {
  const reading = { ...NAMED, apiServers: [], plugins: [DURING_OUTAGE] }
  t.match(makeClusterStatus({ reading, demand: {}, now: 0 }).faults, [
    /the plugin at http:\/\/p does not reach Vault \(VAULT_SEALED\) and is ready only until its grace ends/,
  ])
  t.end()
})

void test('a plugin that works with local keys is a fault, with the time that is left', (t) => {
  const statusOf = (offlineSecondsLeft: number) => {
    const plugins = [{ ...DURING_OUTAGE, offlineSecondsLeft }]
    return makeClusterStatus({ reading: { ...NAMED, apiServers: [], plugins }, demand: {}, now: 0 })
  }
  const status = statusOf(3 * 3_600 + 1)
  t.same(status.faults, [
    'the plugin at http://p cannot reach Vault (VAULT_SEALED); its local keys encrypt for 180 more minutes (kms.localKeys.offlineFor)',
  ])
  t.match(formatStatus(status, 0), / ok, on local keys for 180 more minutes \(VAULT_SEALED\)/)
  t.match(statusOf(59).faults, [/ its local keys encrypt for 59 more seconds \(/])
  t.end()
})

void test('a fault of a sealed file is a problem of a plugin that works', async (t) => {
  const addresses = [await servePluginAdmin(t), await servePluginAdmin(t, 'FILE is damaged')]
  const plugins = await Promise.all(addresses.map(readPlugin))
  const status = makeClusterStatus({
    reading: { ...NAMED, apiServers: [], plugins },
    demand: {},
    now: 0,
  })
  t.notOk(status.ok)
  const faults = status.faults.filter((each) => each.includes('sealed file'))
  t.same(faults, [
    `the plugin at ${String(addresses[1])} reports a fault of its sealed file, so its node may need Vault to start: FILE is damaged`,
  ])
})

void test('API servers without KMS are a fault where KMS is expected', (t) => {
  const reading = { ...NAMED, apiServers: [{ server: 'https://a', keys: new Map() }], plugins: [] }
  const faultsOf = (mustUseKms: boolean) =>
    makeClusterStatus({ reading, demand: {}, mustUseKms, now: 0 }).faults
  t.match(faultsOf(true), ['the API server https://a uses no KMS v2 provider'])
  t.same(faultsOf(false), [])
  t.end()
})
