// `verify` on a k3s without etcd: kine serves etcd's API over SQLite, on a unix socket.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { after, test } from 'tap'
import { Kine } from '../../real/cluster/kine.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { openLive, readAll } from '../../verify/read-all.ts'
import { reportOf, runVerify } from '../../verify/run-verify.ts'
import { writeConfig } from '../../verify/sealed-values.ts'
import { startApiServer, startPlugin, startVault } from '../cluster.ts'
import { encryptionConfig, identity, kms } from '../encryption-config.ts'

const kine = await Kine.start()
after(() => kine.stop())
const empty = await Kine.start()
after(() => empty.stop())

const name = (number: number) => `/registry/secrets/default/s${String(number).padStart(5, '0')}`
const KEYS = 10_500

void test('all pages together are what kine holds, at one revision', async (t) => {
  const expected: [string, string][] = []
  // One at a time: concurrent writers of SQLite wait for each other and are much slower.
  for (let at = 0; at < KEYS; at += 1) {
    const value = randomBytes(200)
    expected.push([name(at), value.toString('latin1')])
    await kine.writer.put(name(at), value)
  }
  for (let at = 0; at < 3; at += 1) {
    const large = randomBytes(1_400_000)
    await kine.writer.put(`/registry/configmaps/a/large-${String(at)}`, large)
    expected.push([`/registry/configmaps/a/large-${String(at)}`, large.toString('latin1')])
  }
  await kine.writer.put('/registry2/secrets/a/a', Buffer.from('not of this prefix'))
  const live = openLive(kine.address)
  const found = await readAll(live)
  t.ok(
    isSame(
      found,
      expected.toSorted(([one], [other]) => (one < other ? -1 : 1)),
    ),
  )
  t.equal(live.revisions.length, 1)
  await live.close()
})

function isSame(one: readonly (readonly string[])[], other: readonly (readonly string[])[]) {
  return JSON.stringify(one) === JSON.stringify(other)
}

void test('what is written during the read is not part of it', async (t) => {
  const live = openLive(kine.address)
  const keys: string[] = []
  for await (const page of live.readPages({ prefix: '/registry/' }, new AbortController().signal)) {
    if (keys.length === 0) await kine.writer.put(name(99_999), Buffer.from('later'))
    keys.push(...page.map(({ key }) => Buffer.from(key).toString('utf8')))
  }
  t.notOk(keys.includes(name(99_999)))
  t.equal(keys.length, KEYS + 3)
  await live.close()
})

void test('a compaction in the middle is reported, and reading continues', async (t) => {
  const continued: bigint[] = []
  const live = openLive(kine.address, (revision) => continued.push(revision))
  const keys = new Set<string>()
  for await (const page of live.readPages({ prefix: '/registry/' }, new AbortController().signal)) {
    for (const { key } of page) keys.add(Buffer.from(key).toString('utf8'))
    if (continued.length > 0 || keys.size < 100) continue
    // kine keeps the last 1,000 revisions (its --compact-min-retain).
    let revision = 0n
    for (let at = 0; at < 1_100; at += 1) revision = await kine.writer.put(name(7), randomBytes(8))
    await kine.writer.compact(revision)
  }
  t.equal(continued.length, 1)
  t.equal(live.revisions.length, 2)
  t.equal(keys.size, KEYS + 4)
  await live.close()
})

void test('a socket that is missing, or of another program, is reported in one line', async (t) => {
  const missing = join(tempFolder('kine'), 'kine.sock')
  t.strictSame(await runVerify('--endpoints', `unix://${missing}`), {
    code: 1,
    stdout: '',
    stderr: `transit-bridge: etcd at unix://${missing} does not exist; check that it is running and that --endpoints is correct\n`,
  })
  t.match(await runVerify('--endpoints', empty.address), {
    code: 1,
    stderr: /holds no keys/,
  })
  t.match(await runVerify('--endpoints', 'unix://kine.sock'), {
    code: 2,
    stderr: /is not an endpoint/,
  })
  t.match(await runVerify('--endpoints', kine.address, '--cacert', 'ca.crt'), {
    code: 2,
    stderr: /--endpoints has unix:\/\/, where --cacert, --cert and --key have no effect/,
  })
})

void test('a kube-apiserver that stores in kine is proved like one with etcd', async (t) => {
  const { vault, proxy } = await startVault(t)
  const plugin = await startPlugin(t, vault, proxy)
  const config = encryptionConfig([kms(plugin.socket), identity])
  const api = await startApiServer(t, { etcd: empty, encryptionConfig: config })
  for (let at = 0; at < 5; at += 1)
    await api.createSecret('default', `s${String(at)}`, { password: 'never-printed' })
  const deep = ['--deep', '--objects', '--config', writeConfig(vault)]
  const { code, report } = await reportOf('--endpoints', empty.address, ...deep)
  t.match(report, { ok: true, unreadable: 0, unproven: 0, plain: 0, gaps: [] })
  t.match(
    report.resources.find(({ resource }) => resource === 'secrets'),
    { objects: 5, plain: 0 },
  )
  t.equal(code, 0)
})
