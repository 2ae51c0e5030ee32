// Whether a node can start without Vault (docs/availability.md, "A start without Vault"), proved from etcd and its sealed file.
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, test, type Test } from 'tap'

import { formatSealedFile } from '../../../src/kms/local/sealed-format.ts'
import { formatReport } from '../../../src/verify/report-text.ts'
import { Fixture, newSeed } from '../../behavior/fixture.ts'
import { readSealedFile } from '../../kms/local/read-sealed-file.ts'
import { Etcd } from '../../real/cluster/etcd.ts'
import { eventually } from '../../real/host/eventually.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import type { Plugin } from '../../real/program/plugin.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import { KUBE_SYSTEM, kmsV2Value, sealBySeed } from '../../verify/envelopes.ts'
import { reportOf, runVerify } from '../../verify/run-verify.ts'
import { makeSeeds, sealedValue, writeConfig } from '../../verify/sealed-values.ts'
import { putAll, saveSnapshot } from '../../verify/snapshot-of.ts'

const [fixture, etcd] = await Promise.all([Fixture.open(), Etcd.start()])
after(() => etcd.stop())

const folder = tempFolder('offline')
const sealedFile = join(folder, 'local-keys')
const nodeKeyFile = join(folder, 'node-key')
writeFileSync(nodeKeyFile, randomBytes(32), { mode: 0o400 })
const localKeys = { enabled: true, sealedFile, nodeKeyFile }
const plugin = await fixture.startHealthy({ kms: { refreshInterval: '1s', localKeys } })

/** An object as an API server stores it through a plugin. */
async function store(name: string, by: Plugin): Promise<string> {
  const key = `/registry/secrets/a/${name}`
  const seed = newSeed()
  const { ciphertext, ...rest } = await by.client.encrypt(seed)
  const data = sealBySeed(seed, key, 'k8s\0 hunter2')
  await etcd.put(key, kmsV2Value({ ...rest, source: ciphertext, data }))
  return key
}

await putAll(etcd, [KUBE_SYSTEM])
for (let at = 0; at < 20; at += 1) await store(`s${String(at)}`, plugin)
await eventually('the sealed file', () => existsSync(sealedFile))

// Before the first test, which counts logins.
const other = await fixture.startHealthy({ kms: { localKeys: { enabled: true } } })
const direct = await fixture.startHealthy()

const live = ['--endpoints', etcd.address]
const offline = ['--offline', '--config', writeConfig(fixture.vault, { localKeys })]

void test('every object that the plugin encrypted is decrypted without Vault', async (t) => {
  const mark = fixture.bao.auditMark()
  const { code, report } = await reportOf(...live, ...offline)
  t.match(report, {
    ok: true,
    depth: 'offline',
    objects: 21,
    seeds: 20,
    localKeys: { objects: 20, of: 20 },
    sealedFile: { file: sealedFile, localKeys: 1, ofSnapshot: false },
  })
  const left = Date.parse(report.sealedFile?.usableUntil ?? '') - Date.now()
  t.ok(left > 0 && left <= 4 * 3_600_000, 'it can be used for kms.localKeys.offlineFor at most')
  t.equal(report.vaultUid, undefined)
  t.equal(code, 0)
  t.same(fixture.bao.auditRequests({ since: mark, path: 'auth/jwt/login' }), [])
  const { stdout } = await runVerify('--snapshot', await saveSnapshot(etcd), ...offline)
  t.match(stdout, `\nsealed file: ${sealedFile}, 1 local key; the plugin can start from it until 2`)
  t.match(stdout, /\nok: 21 objects read, .*, every encrypted object of this snapshot decrypted/)
  t.notMatch(stdout, /so its API server can start/, 'a snapshot is not what etcd has now')
  const { stdout: now } = await runVerify(...live, ...offline)
  t.match(now, /\nok: 21 objects read, .* so its API server can start without Vault\n$/)
})

async function requireNotProved(t: Test, by: Plugin, why: string): Promise<void> {
  const key = await store('needs-vault', by)
  const { code, stdout } = await runVerify(...live, ...offline)
  t.equal(code, 1)
  t.match(stdout, `\nnot proved:\n  ${key}: ${why}\n`)
  t.match(stdout, /\nNOT ok: of 22 objects: 1 not proved\n$/)
  t.notMatch(stdout, /unreadable|kubectl delete/)
  await etcd.delete(key)
}

void test('an object under a local key that this node has not seen is not proved, and not unreadable', (t) =>
  requireNotProved(
    t,
    other,
    `its local key is not in ${sealedFile}; restart the API server of this node while Vault answers, so that its plugin learns the key`,
  ))

void test('an object that no local key encrypted is not proved, and not unreadable', (t) =>
  requireNotProved(
    t,
    direct,
    'no local key encrypted it, so only Vault can decrypt it; run transit-bridge rotate',
  ))

void test('after this node has read the data of another one, it is proved', async (t) => {
  const key = '/registry/secrets/a/read'
  const seed = newSeed()
  const envelope = await other.client.encrypt(seed)
  const data = sealBySeed(seed, key, 'k8s\0')
  await etcd.put(key, kmsV2Value({ ...envelope, source: envelope.ciphertext, data }))
  t.equal((await runVerify(...live, ...offline)).code, 1, 'before')
  await plugin.client.decrypt(envelope)
  await eventually('the file to have its local key', async () => {
    const { report } = await reportOf(...live, ...offline)
    return report.ok && report.sealedFile?.localKeys === 2
  })
  t.match(await runVerify(...live, ...offline), { code: 0, stdout: /, 2 local keys; / })
  await etcd.delete(key)
})

void test('an object that was changed is unreadable', async (t) => {
  const key = '/registry/secrets/a/changed'
  const seed = newSeed()
  const envelope = await plugin.client.encrypt(seed)
  const data = sealBySeed(seed, '/registry/secrets/a/moved', 'k8s\0')
  await etcd.put(key, kmsV2Value({ ...envelope, source: envelope.ciphertext, data }))
  const { code, report } = await reportOf(...live, ...offline)
  t.match(report, { ok: false, unreadable: 1, unproven: 0 })
  t.equal(code, 1)
  await etcd.delete(key)
})

void test('an object under a Transit key that the sealed file does not know is not proved, and not unreadable', async (t) => {
  const key = '/registry/secrets/a/foreign'
  await fixture.bao.api('POST', 'transit/keys/another-key', {})
  const [seed] = await makeSeeds(fixture.vault, 1, 'another-key')
  await etcd.put(key, sealedValue(key, 'k8s\0', seed))
  const { stdout, code } = await runVerify(...live, ...offline)
  t.equal(code, 1)
  t.match(
    stdout,
    `\nnot proved:\n  ${key}: the Transit key had no such version, or had disabled it, when`,
  )
  t.notMatch(stdout, /unreadable|kubectl delete/)
  await etcd.delete(key)
})

/** A copy of the file that this node cannot start from. */
const UNUSABLE = [
  {
    what: 'without a sealed file',
    spoil: () => rmSync(sealedFile),
    told: `${sealedFile} does not exist (never written, or removed after a refusal or after kms.localKeys.offlineFor), so this node needs Vault to start; the running plugin writes it when Vault answers\n`,
  },
  {
    what: 'with a damaged sealed file',
    spoil: () => writeFileSync(sealedFile, 'transit-bridge'),
    told: /is not a sealed file of this version.*; it is ignored, and replaced when Vault answers\n$/,
  },
  {
    what: 'with another node key',
    spoil: () => writeNodeKey(),
    told: /was sealed with another node key: .*; it is ignored, and replaced when Vault answers; to keep it, restore the former node key and restart the plugin before Vault answers\n$/,
  },
  {
    what: 'without a node key',
    spoil: () => rmSync(nodeKeyFile),
    told: /the node key .* is missing, so .* a start needs Vault; start its unit \(.*\), then restart the plugin\n$/,
  },
] as const

function writeNodeKey(): void {
  chmodSync(nodeKeyFile, 0o600)
  writeFileSync(nodeKeyFile, randomBytes(32))
}

void test('if a node cannot start without Vault, the error says why, and there is no verdict on the data', async (t) => {
  await plugin.kill()
  for (const { what, spoil, told } of UNUSABLE) {
    const kept = [sealedFile, nodeKeyFile].map((file) => [file, `${file}.kept`] as const)
    for (const [file, copy] of kept) copyFileSync(file, copy)
    spoil()
    const { code, stdout, stderr } = await runVerify(...live, ...offline)
    t.equal(code, 1, what)
    t.equal(stdout, '')
    t.match(stderr, told, what)
    t.match(stderr, 'cannot prove that this node can start without Vault: ')
    for (const [file, copy] of kept) renameSync(copy, file)
  }
  t.equal((await runVerify(...live, ...offline)).code, 0)
})

/** What a plugin writes that has not read the data of the others. */
function keepOwnKeys(): void {
  const owner = { clusterId: 'test-cluster', keyPath: `transit/${KEY}` }
  const state = readSealedFile(localKeys, owner)
  const own = state.localKeys.filter(({ isOwn }) => isOwn)
  const content = formatSealedFile({ ...state, localKeys: own }, owner, readFileSync(nodeKeyFile))
  writeFileSync(sealedFile, content)
}

const CHANGES = [
  {
    what: 'it is removed',
    change: () => rmSync(sealedFile),
    told: /local-keys does not exist .*; the running plugin writes it when Vault answers$/,
  },
  {
    what: 'it loses a local key',
    change: keepOwnKeys,
    told: /local-keys lost a local key while the store was read, so nothing is proved; run this again$/,
  },
]

void test('a sealed file that gets worse while etcd is read proves nothing, and the findings stay', async (t) => {
  const key = '/registry/secrets/a/plain'
  await etcd.put(key, Buffer.from('k8s\0'))
  for (const { what, change, told } of CHANGES) {
    const kept = `${sealedFile}.kept`
    copyFileSync(sealedFile, kept)
    const network = await fixture.tcpProxy(etcd.address)
    etcd.pause()
    const run = reportOf('--endpoints', network.address, ...offline)
    // The file has been read by then, and etcd answers nothing yet.
    await eventually('the connection to etcd', () => network.accepted > 0)
    change()
    etcd.resume()
    const { code, report } = await run
    t.equal(code, 1, what)
    t.match(report, { ok: false, plain: 1, unproven: 0, resources: [{}, { plainKeys: [key] }] })
    t.equal(report.gaps.length, 1)
    t.match(report.gaps[0], told)
    t.equal(report.sealedFile, undefined)
    const lines = formatReport(report).split('\n')
    t.ok(lines.includes(`  ${key}`))
    t.match(lines.at(-1), told)
    renameSync(kept, sealedFile)
  }
  await etcd.delete(key)
  t.match(await runVerify(...live, ...offline), { code: 0 })
})

void test('a store without an object under a local key proves nothing', async (t) => {
  const [path, value] = KUBE_SYSTEM
  await etcd.put(path.replace('/registry/', '/empty/'), value)
  const { code, stdout } = await runVerify(...live, ...offline, '--etcd-prefix', '/empty')
  t.equal(code, 1)
  t.match(stdout, /\nNOT ok: .*no object is under a local key, so nothing is proved\n$/)
})

void test('a configuration without a sealed file, or without local keys, is wrong usage', async (t) => {
  const none = 'kms.localKeys has no sealedFile'
  for (const [kms, why] of [
    [{}, none],
    [{ localKeys: { enabled: true } }, none],
    [{ localKeys: { ...localKeys, enabled: false } }, 'kms.localKeys.enabled is false'],
  ] as const) {
    const config = writeConfig(fixture.vault, kms)
    t.match(await runVerify(...live, '--offline', '--config', config), {
      code: 2,
      stdout: '',
      stderr: `${why}, so this node cannot start without Vault`,
    })
  }
})

fixture.end()
