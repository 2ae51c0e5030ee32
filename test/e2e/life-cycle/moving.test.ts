// docs/operations/moving-in.md and moving-out.md, step by step with a real kube-apiserver: what is stored is counted in
// etcd at each step, and every Secret is read at each.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { t, test, type Test } from 'tap'
import { parse } from 'yaml'
import { run } from '../../commands/program.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { reportOf, runVerify } from '../../verify/run-verify.ts'
import { saveSnapshot } from '../../verify/snapshot-of.ts'
import { forEachOf, Operator } from '../command.ts'
import { encryptionConfig, identity, kms, type Provider } from '../encryption-config.ts'
import { eventually } from '../../real/host/eventually.ts'
import { kmsProviders } from '../observe.ts'
import { startCluster } from '../cluster.ts'
import { readAll } from './writers.ts'

type Local = { kind: 'aescbc' | 'secretbox'; key: string; secret: string }

const secretOf = (byte: number) => Buffer.alloc(32, byte).toString('base64')
const aescbc: Local = { kind: 'aescbc', key: 'one', secret: secretOf(1) }
const secretbox: Local = { kind: 'secretbox', key: 'two', secret: secretOf(2) }
const OURS = 'kms v2 transit-bridge'

const cluster = await startCluster(t, { encryptionConfig: () => encryptionConfig([identity]) })
const { api, etcd, plugin } = cluster
const operator = await Operator.of({ apis: [api], etcd })
const files = tempFolder('moving')
/** All Secrets that there are, with their values. */
const expected = new Map<string, string>()

function providerOf({ kind, key, secret }: Local): Provider {
  return { [kind]: { keys: [{ name: key, secret }] } }
}

async function create(names: string, count: number): Promise<void> {
  await forEachOf(count, async (index) => {
    const name = `${names}-${String(index)}`
    await api.createSecret('default', name, { value: `value of ${name}` })
    expected.set(name, `value of ${name}`)
  })
}

/** The file that the command prints for a step, with the old provider's key in its place. */
async function printed(t: Test, from: Local, step: string): Promise<string> {
  const command = ['config', 'encryption', '--config', plugin.configFile]
  const { code, stdout, stderr } = await run([...command, '--from', from.kind, '--step', step])
  t.equal(code, 0, stderr)
  const text = stdout.replace('NAME-OF-THE-KEY', from.key).replace('ITS-SECRET', from.secret)
  const check = await run([...command, '--check', save(text)])
  // AES-CBC, which still writes at the first step, is called what it is.
  const isUnsafe = from.kind === 'aescbc' && step === 'read'
  t.equal(check.code, isUnsafe ? 1 : 0, check.stdout + check.stderr)
  return text
}

function save(text: string): string {
  const file = join(files, 'encryption.yaml')
  writeFileSync(file, text)
  return file
}

async function restartWith(text: string): Promise<void> {
  await api.restart({ encryptionConfig: text })
}

/** Without a restart: the API server checks its file once a minute. */
async function reloadWith(text: string): Promise<void> {
  const name = 'apiserver_encryption_config_controller_automatic_reloads_total'
  const count = async () => (await api.samples(name, { status: 'success' }))[0]?.value ?? 0
  const before = await count()
  await api.writeEncryptionConfig(text)
  await eventually('the new file to be used', async () => (await count()) > before, {
    timeoutMs: 90_000,
    intervalMs: 500,
  })
  await kmsProviders(api, 'ok')
}

/** What `verify` says of the Secrets, and its exit code. */
async function verify(source: string[], text: string, more: string[] = []) {
  const { code, report } = await reportOf(
    ...source,
    '--encryption-config',
    save(text),
    '--resources',
    'secrets',
    ...more,
  )
  const [secrets] = report.resources
  if (secrets === undefined) throw new Error('the report has no Secrets')
  const { plain, otherProvider, unproven, groups } = secrets
  const stored = Object.fromEntries(groups.map(({ provider, objects }) => [provider, objects]))
  return { code, plain, otherProvider, unproven, stored }
}

const live = ['--endpoints', etcd.address]
const PLAIN = 'plaintext protobuf'

async function moveIn(t: Test, from: Local, giveTo: (text: string) => Promise<void>) {
  const old = `${from.kind} ${from.key}`
  const plain = 4
  await create(`${from.kind}-before`, plain)
  const before = encryptionConfig([providerOf(from), identity])
  await restartWith(before)
  await create(from.kind, 30)
  t.match(await verify(live, before), {
    code: 1,
    plain: expected.size - 30,
    otherProvider: 0,
    stored: { [old]: 30, [PLAIN]: expected.size - 30 },
  })

  const read = await printed(t, from, 'read')
  await restartWith(read)
  await kmsProviders(api, 'ok')
  await create(`${from.kind}-read`, 1)
  const isPlain = expected.size - 31
  t.match(
    await verify(live, read),
    { code: 1, plain: isPlain, otherProvider: 0, stored: { [old]: 31, [PLAIN]: isPlain } },
    'the old provider still writes',
  )
  t.same(await readAll(api), expected)

  const write = await printed(t, from, 'write')
  await giveTo(write)
  await create(`${from.kind}-write`, 1)
  t.match(
    await verify(live, write),
    {
      code: 1,
      plain: isPlain,
      otherProvider: 31,
      stored: { [OURS]: 1, [old]: 31, [PLAIN]: isPlain },
    },
    'the plugin writes, and what is stored stays as it is',
  )
  const text = await runVerify(...live, '--encryption-config', save(write))
  t.match(text.stdout, 'encrypted by a provider other than the one that writes: secrets 31')
  t.same(await readAll(api), expected)
  const snapshot = await saveSnapshot(etcd)

  const rewrite = await printed(t, from, 'rewrite')
  t.same(parse(rewrite), parse(write), 'the file of this step is that of the last')
  const done = await operator.run(['rewrite', '--encryption-config', save(write)])
  t.equal(done.code, 0, done.stdout + done.stderr)
  t.match(done.stdout, `secrets: ${String(expected.size - 1)} rewritten, 1 already current`)
  t.match(
    done.stdout,
    /objects read; all \d[\d,]* that must be encrypted are stored as API servers write them now/,
  )
  const all = { code: 0, plain: 0, otherProvider: 0, stored: { [OURS]: expected.size } }
  t.match(await verify(live, rewrite), all, 'nothing is under the old provider')

  const remove = await printed(t, from, 'remove')
  t.notMatch(remove, `- ${from.kind}:`)
  await restartWith(remove)
  t.same(await readAll(api), expected, 'all is read without the old provider')
  const deep = ['--deep', '--objects', '--config', plugin.configFile]
  t.match(await verify(live, remove, deep), { ...all, unproven: 0 })
  const kept = await verify(['--snapshot', snapshot], remove)
  t.match(kept, { otherProvider: 31, plain: isPlain }, 'a snapshot still needs the old key')
}

void test('from aescbc: each file is read without a restart', async (t) => {
  await moveIn(t, aescbc, reloadWith)
})

void test('to plaintext: identity writes, and nothing of transit-bridge remains', async (t) => {
  const size = expected.size
  const both = encryptionConfig([kms(plugin.socket), identity])
  const first = encryptionConfig([identity, kms(plugin.socket)])
  await restartWith(both)
  await restartWith(first)
  t.match(await verify(live, first), { code: 0, stored: { [OURS]: size } })
  const said = await runVerify(...live, '--encryption-config', save(first))
  t.match(said.stdout, new RegExp(`not required to be encrypted: .*secrets ${String(size)}`))
  t.match(said.stdout, `transit key versions needed by ${OURS}: 1;`, 'and what is not yet plain')
  t.same(await readAll(api), expected)

  const done = await operator.run(['rewrite', '--encryption-config', save(first)])
  t.equal(done.code, 0, done.stdout + done.stderr)
  t.match(done.stdout, `secrets: ${String(size)} rewritten`)
  t.match(
    await verify(live, first),
    { code: 1, plain: size, stored: { [PLAIN]: size } },
    '--resources requires encryption, whatever the rules say',
  )
  const after = await runVerify(...live, '--encryption-config', save(first))
  t.match(after, { code: 0, stderr: '' })
  t.notMatch(after.stdout, 'transit key versions needed')
  t.match(await runVerify(...live, '--allow', 'secrets'), { code: 0 })
  t.match(await runVerify(...live), { code: 1, stdout: `${String(size)} in plaintext` })

  await restartWith(encryptionConfig([identity]))
  t.same(await readAll(api), expected)
})

void test('from secretbox: the API server is restarted for each step', async (t) => {
  await moveIn(t, secretbox, restartWith)
})

void test('to secretbox: everything can be read when the plugin is gone', async (t) => {
  const size = expected.size
  await restartWith(encryptionConfig([kms(plugin.socket), providerOf(secretbox)]))
  const first = encryptionConfig([providerOf(secretbox), kms(plugin.socket)])
  await restartWith(first)
  t.match(await verify(live, first), { code: 0, otherProvider: size, stored: { [OURS]: size } })
  const done = await operator.run(['rewrite', '--encryption-config', save(first)])
  t.equal(done.code, 0, done.stdout + done.stderr)
  t.match(await verify(live, first), {
    code: 0,
    plain: 0,
    otherProvider: 0,
    stored: { 'secretbox two': size },
  })
  await restartWith(encryptionConfig([providerOf(secretbox)]))
  await plugin.stop()
  await api.restart()
  t.same(await readAll(api), expected)
})
