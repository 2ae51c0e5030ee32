// Everything but etcd is real; test/e2e/life-cycle/escrow.test.ts has that, and an API server.
import { createHash, randomBytes } from 'node:crypto'
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, join } from 'node:path'
import { create, toBinary } from '@bufbuild/protobuf'
import { generateIdentity, identityToRecipient } from 'age-encryption'
import { after, test } from 'tap'
import { checkRecipients, decryptByIdentity } from '../../src/escrow/age.ts'
import { Collection } from '../../src/escrow/collection.ts'
import { CoverageProof } from '../../src/escrow/coverage.ts'
import {
  makeCreationReport,
  makeEscrow,
  requireFolder,
  requireNew,
  shareFiles,
  writeEscrow,
  type Holders,
} from '../../src/escrow/creation.ts'
import { KeyTable } from '../../src/escrow/key-table.ts'
import { makeReadable } from '../../src/escrow/kubernetes-object.ts'
import { formatMetrics } from '../../src/escrow/metrics.ts'
import { prepareFolder, writeObject } from '../../src/escrow/out-folder.ts'
import {
  describeIncomplete,
  describeKeys,
  describeUnopened,
  formatCoverage,
  isComplete,
  readCoverage,
} from '../../src/escrow/reading.ts'
import { Recovery } from '../../src/escrow/recovery.ts'
import { openEscrow, readEscrow } from '../../src/escrow/sealed-file.ts'
import { joinShares } from '../../src/escrow/share.ts'
import { SecretSchema, UnknownSchema } from '../../src/gen/kube/v1/objects_pb.ts'
import { encodeAssociatedData, makeLocalAnnotations } from '../../src/seed/annotations.ts'
import { encodeLocalKeyAssociatedData, sealSeed } from '../../src/seed/local-seal.ts'
import { openSourceReader } from '../../src/commands/cli/source-access.ts'
import type { Proof } from '../../src/verify/proof.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { KEY, KmsVault } from '../real/vault/kms-vault.ts'
import { kmsV2Value, KUBE_SYSTEM, sealBySeed } from '../verify/envelopes.ts'
import { memoryStore } from './memory-store.ts'
import { makeSeeds, sealedValue, writeConfig } from '../verify/sealed-values.ts'

const CLUSTER = 'test-cluster'
const vault = await KmsVault.start({ audit: false })
const access = await openSourceReader(writeConfig(vault), 'escrow', { environment: {} })
after(async () => {
  await access.close()
  await vault.stop()
})
const [direct] = await makeSeeds(vault, 1)
if (direct === undefined) throw new Error('there is no seed')

/** A local key as the plugin makes one, wrapped by the real Transit. */
async function makeLocalKey(cluster = CLUSTER) {
  const key = randomBytes(32)
  const associated_data = encodeLocalKeyAssociatedData(cluster).toString('base64')
  const request = { plaintext: key.toString('base64'), associated_data }
  const { data } = await vault.bao.api('POST', `transit/encrypt/${KEY}`, request)
  return { key, annotations: makeLocalAnnotations(cluster, String(data.ciphertext)) }
}

type LocalKey = Awaited<ReturnType<typeof makeLocalKey>>

function localValue({ key, annotations }: LocalKey, etcdKey: string, plaintext: string): Buffer {
  const seed = randomBytes(32)
  return kmsV2Value({
    keyId: direct?.keyId ?? '',
    source: sealSeed(key, seed, encodeAssociatedData(annotations)),
    annotations: { ...annotations },
    data: sealBySeed(seed, etcdKey, plaintext),
  })
}

const one = await makeLocalKey()
const other = await makeLocalKey()
const named = (name: string) => `/registry/secrets/a/${name}`
const objects = ['a', 'b', 'c'].map((name, at) => {
  const value = localValue(at === 0 ? one : other, named(name), `{"value":"${name}"}`)
  return [named(name), value] as const
})

type Entries = readonly (readonly [string, Buffer])[]

function read(proof: Proof, entries: Entries) {
  return readAll(proof, [KUBE_SYSTEM, ...entries])
}

function readAll(proof: Proof, entries: Entries, gaps: readonly string[] = []) {
  const { signal } = new AbortController()
  const onProgress = () => undefined
  const store = memoryStore(entries)
  return readCoverage({ store, prefix: '/registry/', proof, gaps, onProgress, signal })
}

async function collect(entries: Entries, includeSeeds = false) {
  const table = new KeyTable()
  const collection = new Collection({ ...access, table, includeSeeds })
  const coverage = await read(collection, entries)
  return { table, collection, coverage }
}

async function make(
  entries: Entries,
  holders: Holders = { split: { needed: 3, of: 5 }, recipients: [] },
  includeSeeds = false,
) {
  const { table, collection, coverage } = await collect(entries, includeSeeds)
  const made = await makeEscrow(table, holders, {
    clusterId: CLUSTER,
    alsoDecryptClusters: [],
    transit: { mount: 'transit', key: KEY, versions: [...collection.keyVersions] },
    coverage: [coverage],
    now: 1_800_000_000_000,
  })
  table.end()
  const out = join(tempFolder('escrow'), 'escrow.json')
  await writeEscrow(out, made)
  return { made, out, shares: shareFiles(out, made.shares.length), coverage }
}

void test('any k shares open an escrow, and each object is then read without Vault', async (t) => {
  const { out, shares, coverage, made } = await make(objects)
  t.ok(isComplete(coverage))
  t.match(makeCreationReport(out, made, [coverage], 'uid'), { ok: true, localKeys: 2, seeds: 0 })
  t.match(formatCoverage(coverage), ['memory: 3 of 3 encrypted objects'])
  t.equal(statSync(out).mode & 0o777, 0o600)
  await t.rejects(requireNew([out]), { code: 'USAGE_INVALID' })
  const escrow = await readEscrow(out)
  for (const use of [shares.slice(0, 3), shares.slice(2), shares]) {
    const folder = join(tempFolder('escrow'), 'out')
    await prepareFolder(folder)
    const table = openEscrow(escrow, await joinShares(escrow.manifest, use))
    const { manifest } = escrow
    const recovery = new Recovery({ table, manifest, folder, prefix: '/registry/' })
    t.ok(isComplete(await read(recovery, objects)))
    t.equal(recovery.others, 3)
    t.equal(readFileSync(join(folder, 'secrets/a/a.json'), 'utf8'), '{"value":"a"}')
    await t.rejects(prepareFolder(folder), { message: /is not empty/ })
  }
  await t.rejects(joinShares(escrow.manifest, shares.slice(0, 2)), {
    code: 'USAGE_INVALID',
    message: /opens with 3 different shares of 5, and only 2 were passed/,
  })
  await t.rejects(joinShares(escrow.manifest, shares.slice(0, 1)), { message: /only 1 was passed/ })
})

void test('a damaged byte of an escrow is found by the check, which has no key', async (t) => {
  const { out } = await make(objects)
  const text = readFileSync(out, 'latin1')
  const places = Array.from({ length: 60 }, (_, at) => Math.floor((at * text.length) / 60))
  for (const at of [...places, text.indexOf('"sealed": "') + 20]) {
    const letter = text[at] === 'A' ? 'B' : 'A'
    // Some spaces and line breaks have no meaning.
    if (/\s/.test(text[at] ?? '')) continue
    writeFileSync(out, text.slice(0, at) + letter + text.slice(at + 1), 'latin1')
    await t.rejects(readEscrow(out), { code: 'FILE_DAMAGED' }, `byte ${String(at)}`)
  }
  for (const length of [0, 1, text.length >> 1, text.length - 3]) {
    writeFileSync(out, text.slice(0, length))
    await t.rejects(readEscrow(out), { code: 'FILE_DAMAGED' }, `cut at ${String(length)}`)
  }
})

void test('a damaged share is named, no matter which letter of it changed, and shares of two escrows never mix', async (t) => {
  const [first, second] = [await make(objects), await make(objects)]
  const { manifest } = first.made.file
  const [alice = '', bob = '', carol = ''] = first.shares
  const text = readFileSync(carol, 'latin1')
  const start = text.indexOf('"value": "') + 10
  for (let at = start; at < text.indexOf('"', start); at += 1) {
    const letter = text[at] === 'A' ? 'B' : 'A'
    writeFileSync(carol, text.slice(0, at) + letter + text.slice(at + 1), 'latin1')
    await t.rejects(joinShares(manifest, [alice, bob, carol]), { code: 'FILE_DAMAGED' })
  }
  const mixed = [alice, bob, second.shares[2] ?? '']
  await t.rejects(joinShares(manifest, mixed), { message: /is share 3 of another escrow/ })
  // A holder who changes the name of the escrow in a share.
  const [foreign = ''] = second.shares
  const renamed = readFileSync(foreign, 'utf8').replace(second.made.file.manifest.id, manifest.id)
  writeFileSync(foreign, renamed)
  await t.rejects(joinShares(manifest, [alice, bob, foreign]), { code: 'FILE_DAMAGED' })
  await t.rejects(joinShares(manifest, [alice, alice, bob]), { message: /only 2 were passed/ })
})

void test('a store without encrypted objects proves nothing', async (t) => {
  const { made } = await make(objects)
  const coverage = await read(new CoverageProof(made.file.manifest), [
    [named('plain'), Buffer.from('{}')],
  ])
  t.notOk(isComplete(coverage))
  t.match(formatCoverage(coverage), [/0 of 0/, /there is no encrypted object/])
})

void test('an object that cannot be written is named, and the others are written', async (t) => {
  const { made } = await make(objects)
  const folder = join(tempFolder('escrow'), 'out')
  await prepareFolder(folder)
  const { manifest } = made.file
  const { table } = await collect(objects)
  const recovery = new Recovery({ table, manifest, folder, prefix: '/registry/' })
  // Both names of it are taken.
  mkdirSync(join(folder, 'secrets/a/a.json'), { recursive: true })
  const id = createHash('sha256').update('secrets/a/a').digest('hex')
  mkdirSync(join(folder, `%${id}.json`))
  const coverage = await read(recovery, objects)
  t.match(coverage, {
    covered: 2,
    uncovered: [{ key: named('a'), why: /it was decrypted, but .* cannot be written/ }],
  })
  t.equal(recovery.others, 2)
  recovery.end()
})

const NOT_WRITTEN = 'NOT ok: some encrypted objects were not decrypted or not written; see above'
const NOT_FOUND = 'NOT ok: no encrypted object was found, so nothing was written; see above'
const NOT_WHOLE =
  'NOT ok: every encrypted object that was found was decrypted and written, but others may be missing; see above'

/** What is wrong with an etcd snapshot, what is in it, and what was known before it was read. */
const UNPROVED: readonly (readonly [string, Entries, readonly string[], string])[] = [
  ['a key that the escrow lacks', [KUBE_SYSTEM, ...objects, makeNewer()], [], NOT_WRITTEN],
  ['a damaged object', [KUBE_SYSTEM, makeDamaged(), ...objects], [], NOT_WRITTEN],
  [
    'a key that the escrow lacks, and no checksum',
    [KUBE_SYSTEM, makeNewer()],
    ['gap'],
    NOT_WRITTEN,
  ],
  ['no checksum', [KUBE_SYSTEM, ...objects], ['gap'], NOT_WHOLE],
  ['only a part of a cluster', objects, [], NOT_WHOLE],
  ['only plaintext', [KUBE_SYSTEM, [named('plain'), Buffer.from('{}')]], [], NOT_FOUND],
]

function makeNewer() {
  return [named('d'), sealedValue(named('d'), '{}', direct)] as const
}

/** The value of another object: its ciphertext is bound to its own key. */
function makeDamaged() {
  return [named('e'), objects[0]?.[1] ?? Buffer.alloc(0)] as const
}

void test('open says why not everything is proved to be written', async (t) => {
  const { made } = await make(objects)
  const { manifest } = made.file
  for (const [what, entries, gaps, line] of UNPROVED) {
    const folder = join(tempFolder('escrow'), 'out')
    await prepareFolder(folder)
    const { table } = await collect(objects)
    const recovery = new Recovery({ table, manifest, folder, prefix: '/registry/' })
    const coverage = await readAll(recovery, entries, gaps)
    t.notOk(isComplete(coverage), what)
    t.equal(describeUnopened(coverage), line, what)
    t.equal(recovery.manifests + recovery.others, coverage.covered, what)
  }
})

void test('shares of another escrow, and files that are not shares, are named', async (t) => {
  const first = await make(objects)
  const folder = tempFolder('escrow')
  const copy = join(folder, 'copy')
  writeFileSync(copy, readFileSync(first.shares[0] ?? ''))
  const second = await make(objects)
  const { manifest } = second.made.file
  await t.rejects(joinShares(manifest, [copy]), {
    code: 'USAGE_INVALID',
    message: /is share 1 of another escrow/,
  })
  const created = '2027-01-15T08:00:00.000Z for cluster "test-cluster" with id'
  await t.rejects(
    joinShares(manifest, [copy]),
    {
      message: `created at ${created} "${first.made.file.manifest.id}"; this escrow was created at ${created} "${manifest.id}"`,
    },
    'the times may be the same, the ids are not',
  )
  writeFileSync(copy, 'no share')
  await t.rejects(joinShares(manifest, [copy]), { code: 'FILE_DAMAGED' })
  await t.rejects(joinShares(manifest, [join(folder, 'none')]), { message: /no such file/ })
  await t.rejects(readEscrow(copy), { code: 'FILE_DAMAGED', message: /is not an escrow/ })
  await t.rejects(readEscrow(join(folder, 'none')), { code: 'USAGE_INVALID' })
  // Sparse files: reading them whole would need more memory than there is.
  truncateSync(copy, 10 * 1024 ** 3)
  await t.rejects(readEscrow(copy), {
    code: 'USAGE_INVALID',
    message: `--escrow ${copy}: is larger than 16 MiB; is it the right file?`,
  })
  for (const option of ['share', 'identity']) {
    const reading =
      option === 'share' ? joinShares(manifest, [copy]) : decryptByIdentity('QUJD', copy)
    await t.rejects(reading, {
      code: 'USAGE_INVALID',
      message: `--${option} ${copy}: is larger than 1 MiB; is it the right file?`,
    })
  }
  t.throws(() => openEscrow(second.made.file, randomBytes(32)), { code: 'FILE_DAMAGED' })
  t.throws(() => openEscrow({ ...second.made.file, sealed: 'QUJD' }, randomBytes(32)), {
    code: 'FILE_DAMAGED',
  })
})

void test('what is missing and what is only not proved are different', async (t) => {
  const { coverage } = await collect(objects)
  const doubted = { ...coverage, gaps: ['its checksum is missing'] }
  t.notOk(isComplete(doubted))
  t.equal(describeIncomplete([coverage, doubted]), 'NOT ok: coverage is not proved')
  const lacking = { ...doubted, covered: doubted.covered - 1 }
  t.equal(describeIncomplete([lacking]), 'NOT ok: the escrow does not cover everything')
  t.equal(describeKeys({ localKeys: 1, seeds: 0 }), '1 local key and 0 DEK seeds')
  t.equal(describeKeys({ localKeys: 1_234, seeds: 1 }), '1,234 local keys and 1 DEK seed')
})

void test('the folder of an escrow must exist before Vault is asked', async (t) => {
  const folder = tempFolder('escrow')
  await requireFolder(join(folder, 'escrow.json'))
  writeFileSync(join(folder, 'file'), '')
  for (const [out, message] of [
    ['none/escrow.json', /none does not exist; create it first/],
    ['file/escrow.json', /file is not a directory/],
    ['file/none/escrow.json', /file\/none cannot be used: part of its path is not a directory/],
  ] as const)
    await t.rejects(requireFolder(join(folder, out)), { code: 'USAGE_INVALID', message })
})

void test('a disk that reports an error for the folder of an escrow is not wrong usage', async (t) => {
  const { stat } = fs
  const failure = Object.assign(new Error('EIO'), { code: 'EIO' })
  fs.stat = (): Promise<never> => Promise.reject(failure)
  syncBuiltinESMExports()
  t.teardown(() => {
    fs.stat = stat
    syncBuiltinESMExports()
  })
  await t.rejects(requireFolder('/mnt/escrow.json'), {
    code: 'HOST_UNAVAILABLE',
    message: '--out /mnt/escrow.json: /mnt cannot be used: the disk reports an error',
  })
})

void test('an age identity opens it alone', async (t) => {
  const identity = await generateIdentity()
  const recipients = [await identityToRecipient(identity)]
  const { made } = await make(objects, { recipients })
  const folder = tempFolder('escrow')
  writeFileSync(join(folder, 'identity'), `# mine\n${identity}\n`)
  writeFileSync(join(folder, 'sealed'), 'age-encryption.org/v1\n')
  const { file } = made
  const fileKey = await decryptByIdentity(file.age ?? '', join(folder, 'identity'))
  openEscrow(file, fileKey).end()
  await t.rejects(joinShares(file.manifest, []), { message: /has no shares; pass --identity/ })
  await t.rejects(decryptByIdentity(file.age ?? '', join(folder, 'sealed')), {
    message: /is encrypted with a passphrase/,
  })
  writeFileSync(join(folder, 'identity'), await generateIdentity())
  await t.rejects(decryptByIdentity(file.age ?? '', join(folder, 'identity')), {
    code: 'USAGE_INVALID',
  })
  writeFileSync(join(folder, 'identity'), 'something')
  await t.rejects(decryptByIdentity(file.age ?? '', join(folder, 'identity')), {
    message: /not a file of age identities/,
  })
  const secret = identity.replace('AGE-SECRET-KEY-', '')
  const passwords = ['Passw0rd', 'Correct-Horse-1', 'age1Correct-Horse-1']
  for (const given of [
    identity,
    identity.toLowerCase(),
    secret,
    identity.slice(0, 30),
    ...passwords,
  ])
    t.throws(() => checkRecipients([given]), {
      code: 'USAGE_INVALID',
      message: /^--recipient \(not shown: it may be secret\) is not an age recipient; /,
    })
  const [mistyped = ''] = recipients.map((each) => each.slice(0, -1))
  t.throws(() => checkRecipients([mistyped]), {
    message: `--recipient "${mistyped}" is not an age recipient; recipients start with age1`,
  })
})

void test('what Transit encrypted without a local key is covered only with its seeds', async (t) => {
  const entries = [...objects, [named('d'), sealedValue(named('d'), '{}', direct)] as const]
  const without = await make(entries)
  t.notOk(isComplete(without.coverage))
  t.match(without.coverage, { encrypted: 4, covered: 3, uncovered: [{ key: named('d') }] })
  t.match(without.coverage.uncovered[0]?.why, /without a local key; .*--include-seeds/)
  t.match(without.made.file.manifest, { uncovered: 1, localKeys: 2, seeds: 0 })
  const included = await make(entries, undefined, true)
  t.ok(isComplete(included.coverage))
  t.match(included.made.file.manifest, { uncovered: 0, localKeys: 2, seeds: 1 })
  const check = await read(new CoverageProof(without.made.file.manifest), entries)
  t.match(check.uncovered, [{ why: /the seed is not in the escrow.*--include-seeds/ }])
  t.ok(isComplete(await read(new CoverageProof(included.made.file.manifest), entries)))
})

void test('a check names what is newer, of another cluster, or under another key', async (t) => {
  const { made } = await make(objects)
  const newer = await makeLocalKey()
  const foreign = await makeLocalKey('other-cluster')
  const damaged = Buffer.from('k8s:enc:kms:v2:transit-bridge:')
  const entries = [
    ...objects,
    [named('newer'), localValue(newer, named('newer'), '{}')],
    [named('other'), localValue(foreign, named('other'), '{}')],
    [named('cbc'), Buffer.concat([Buffer.from('k8s:enc:aescbc:v1:k1:'), Buffer.alloc(32)])],
    [named('damaged'), damaged],
    [named('foreign'), kmsV2Value({ keyId: 'theirs', annotations: {} })],
    [named('plain'), Buffer.from('{}')],
  ] as const
  const { manifest } = made.file
  const coverage = await read(new CoverageProof(manifest), entries)
  t.match(coverage, { encrypted: 8, covered: 3, plainSecrets: 1 })
  const why = new Map(coverage.uncovered.map((each) => [each.key, each.why]))
  t.match(why.get(named('newer')), /its local key is not in the escrow, which was created at 2027/)
  t.match(
    why.get(named('other')),
    /belongs to cluster "other-cluster", and the escrow belongs to .*; use an escrow of/,
  )
  t.match(why.get(named('cbc')), /keep a copy of that file, or .*transit-bridge rewrite/)
  t.match(why.get(named('foreign')), /another plugin/)
  t.ok(why.has(named('damaged')))
  t.match(formatMetrics(manifest, coverage, 0), /^transit_bridge_escrow_covered_ratio 0.375$/m)
  const complete = await read(new CoverageProof(manifest), objects)
  t.match(formatMetrics(manifest, complete, 0), /^transit_bridge_escrow_covered_ratio 1$/m)
  const { coverage: created } = await collect(entries)
  t.match(created, { encrypted: 8, covered: 4 }, 'Transit knows the newer key')
})

void test('a name in etcd adds no line to a report', async (t) => {
  const { made } = await make(objects)
  const name = named('x\nok: every encrypted object is covered')
  const newer = localValue(await makeLocalKey(), name, '{}')
  const coverage = await read(new CoverageProof(made.file.manifest), [...objects, [name, newer]])
  const lines = formatCoverage(coverage)
  t.match(lines, [/3 of 4 encrypted objects/, /x\\u000aok: every .* is not in the escrow/])
  t.same(
    lines.filter((line) => line.includes('\n')),
    [],
  )
})

void test('an object that was changed is not covered, and the escrow has its key', async (t) => {
  const value = localValue(one, named('moved'), '{}')
  const { coverage } = await collect([...objects, [named('there'), value]])
  t.match(coverage, {
    covered: 3,
    uncovered: [{ key: named('there'), why: /copied from another/ }],
  })
})

void test('a Secret becomes a manifest, and anything else keeps its stored form', (t) => {
  const secret = create(SecretSchema, {
    metadata: { name: 'n', namespace: 'ns', annotations: { note: 'x' } },
    data: { bytes: Buffer.from([0, 255]) },
    type: 'Opaque',
    immutable: true,
  })
  const stored = (kind: string, raw: Uint8Array) => {
    const unknown = create(UnknownSchema, { typeMeta: { apiVersion: 'v1', kind }, raw })
    return Buffer.concat([Buffer.from('k8s\0'), toBinary(UnknownSchema, unknown)])
  }
  const bytes = stored('Secret', toBinary(SecretSchema, secret))
  t.same(JSON.parse(makeReadable(bytes).content.toString()), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'n', namespace: 'ns', annotations: { note: 'x' } },
    type: 'Opaque',
    immutable: true,
    data: { bytes: 'AP8=' },
  })
  for (const odd of [stored('Pod', Buffer.of(1)), stored('Secret', Buffer.of(255)), Buffer.of(1)])
    t.match(makeReadable(odd), { extension: 'bin', isManifest: false, content: odd })
  t.end()
})

void test('Secrets and ConfigMaps that are stored as JSON become manifests, too', (t) => {
  const names = '{"__proto__":"YQ==","constructor":"Yg==","toString":"Yw=="}'
  const stored = (kind: string, more: string) =>
    Buffer.from(
      `{"kind":"${kind}","apiVersion":"v1","metadata":{"name":"n","namespace":"ns","uid":"1","creationTimestamp":"2026-01-01T00:00:00Z","labels":{"app":"x"},"managedFields":[{"manager":"m"}]},${more}}`,
    )
  const made = (kind: string, more: string) =>
    `{"apiVersion":"v1","kind":"${kind}","metadata":{"name":"n","namespace":"ns","labels":{"app":"x"}},${more}}`
  const rows = [
    ['Secret', `"type":"Opaque","immutable":true,"data":${names}`],
    ['ConfigMap', `"data":${names},"binaryData":${names}`],
  ] as const
  for (const [kind, more] of rows) {
    const { content, ...rest } = makeReadable(stored(kind, more))
    t.same(rest, { extension: 'json', isManifest: true })
    t.equal(JSON.stringify(JSON.parse(content.toString())), made(kind, more))
  }
  for (const odd of [
    stored('Pod', '"spec":{}'),
    Buffer.from('{"kind":"Secret"}'),
    Buffer.from('{'),
  ])
    t.match(makeReadable(odd), { extension: 'json', isManifest: false, content: odd })
  t.end()
})

void test('no key of etcd leaves the folder', async (t) => {
  const folder = join(tempFolder('escrow'), 'out')
  await prepareFolder(folder)
  const content = Buffer.from('x')
  const names = ['../../x', './y', 'a//b', `a/${'é'.repeat(200)}`, 'a\0b', '.hidden', '..', '']
  const keys = [
    ...names.map((name) => Buffer.from(name)),
    // Not UTF-8, and different.
    Buffer.of(0xff),
    Buffer.of(0xfe),
    // A file and a folder of one name, in both orders.
    ...['b', 'b.bin/c', 'd.bin/e', 'd'].map((name) => Buffer.from(name)),
    // Longer than any path may be.
    Buffer.from('x/'.repeat(4_000)),
    Buffer.from(`${'y'.repeat(230)}/`.repeat(40)),
  ]
  for (const key of keys) await writeObject(folder, key, { extension: 'bin', content })
  // As on a file system that ignores case.
  await writeObject(folder, Buffer.from('b'), { extension: 'bin', content })
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  t.equal(files.filter((file) => file.isFile()).length, keys.length + 1)
  await t.rejects(writeObject(folder, Buffer.from('b'), { extension: 'bin', content }), {
    code: 'HOST_FAILED',
  })
  const file = join(folder, '%2Ehidden.bin')
  await t.rejects(prepareFolder(file), { code: 'USAGE_INVALID', message: /cannot be used/ })
})

void test('of two runs with one --out, one writes all files and the other nothing', async (t) => {
  const [{ made: first }, { made: second }] = await Promise.all([make(objects), make(objects)])
  const out = join(tempFolder('escrow'), 'e')
  const ends = await Promise.allSettled([writeEscrow(out, first), writeEscrow(out, second)])
  t.same(ends.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  const lost = ends.find((end) => end.status === 'rejected')
  t.match(lost?.reason, { code: 'HOST_FAILED', message: /already, perhaps of another run/ })
  const file = await readEscrow(out)
  const fileKey = await joinShares(file.manifest, shareFiles(out, 5).slice(2))
  openEscrow(file, fileKey).end()
  t.equal(readdirSync(dirname(out)).length, 6)
})

void test('a share that cannot be written leaves no other behind', async (t) => {
  const { made } = await make(objects)
  const folder = join(tempFolder('escrow'), 'full')
  mkdirSync(join(folder, 'e.share-3', 'taken'), { recursive: true })
  await t.rejects(writeEscrow(join(folder, 'e'), made), { code: 'HOST_FAILED' })
  t.same(readdirSync(folder), ['e.share-3'])
})

void test('if shares cannot be removed again, the error names the reason and each of them', async (t) => {
  const { made } = await make(objects)
  const out = join(tempFolder('escrow'), 'e')
  mkdirSync(`${out}.share-3`)
  const remove = fs.rm
  fs.rm = async (path, options) => {
    if (path === `${out}.share-1`) throw Object.assign(new Error('EROFS'), { code: 'EROFS' })
    return remove(path, options)
  }
  syncBuiltinESMExports()
  t.teardown(() => {
    fs.rm = remove
    syncBuiltinESMExports()
  })
  await t.rejects(writeEscrow(out, made), {
    code: 'HOST_FAILED',
    message: /share-3 cannot be written: .*; these secret files .* remove them: .*\/e\.share-1$/,
  })
  t.same(readdirSync(dirname(out)).toSorted(), ['e.share-1', 'e.share-3'])
})
