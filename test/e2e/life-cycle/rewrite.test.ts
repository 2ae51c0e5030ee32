// `transit-bridge rewrite` against the real kube-apiserver: nothing is lost, it can be interrupted at any time, and it does
// not begin while API servers disagree.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { KEY } from '../../real/vault/kms-vault.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import { rotateKey } from '../../real/vault/transit-setup.ts'
import { forEachOf, Operator } from '../command.ts'
import { encryptionConfig, identity, kms } from '../encryption-config.ts'
import { eventually } from '../../real/host/eventually.ts'
import { kubeconfigOf } from '../kube-config.ts'
import { newKeyId, noticed } from '../observe.ts'
import { parseStored, SECRETS } from '../stored.ts'
import { startApiServer, startCluster, startPlugin, usualConfig, type Cluster } from '../cluster.ts'
import { readAll, Writers } from './writers.ts'

const SIZE = 1600
const COMMAND = ['rewrite', '--resources', 'secrets']

async function fill({ api }: Cluster, count: number): Promise<Map<string, string>> {
  await forEachOf(count, async (index) => {
    const name = `secret-${String(index)}`
    await api.createSecret('default', name, { value: name })
  })
  return new Map(
    Array.from({ length: count }, (_none, index) => {
      const name = `secret-${String(index)}`
      return [name, name] as const
    }),
  )
}

async function rotate({ vault, plugin, api }: Cluster): Promise<string> {
  const { keyId: before } = await plugin.client.status()
  await rotateKey(vault.bao, KEY)
  const keyId = await newKeyId(plugin, before)
  await noticed(api, keyId)
  return keyId
}

async function keyIdsOfSecrets({ etcd }: Cluster): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { value } of await etcd.range(SECRETS)) {
    const stored = parseStored(value)
    const id = stored.format === 'v2' ? stored.keyId : stored.format
    counts[id] = (counts[id] ?? 0) + 1
  }
  return counts
}

function stateOf(operator: Operator): string | undefined {
  const folder = join(operator.home, '.local/state/transit-bridge')
  if (!existsSync(folder)) return undefined
  const name = readdirSync(folder).find((file) => file.endsWith('.json'))
  return name === undefined ? undefined : readFileSync(join(folder, name), 'utf8')
}

void test('three interruptions while other clients write: nothing is lost', async (t) => {
  const cluster = await startCluster(t)
  const expected = await fill(cluster, SIZE)
  const keyId = await rotate(cluster)
  const writers = new Writers([cluster.api])
  writers.start([...expected.keys()].slice(0, 400))
  const operator = await Operator.of({
    apis: [cluster.api],
    plugins: [cluster.plugin],
    etcd: cluster.etcd,
  })
  const command = ['rewrite', '--resources', 'secrets', '--rate', '600']
  for (const [signal, pages] of [
    ['SIGINT', 0],
    ['SIGKILL', 1],
    ['SIGTERM', 2],
  ] as const) {
    const before = stateOf(operator)
    const program = operator.start(command)
    await program.waitUntil(`${String(pages)} pages`, () => {
      const state = stateOf(operator)
      return state !== undefined && (pages === 0 || state !== before)
    })
    program.signal(signal)
    const { code } = await program.ended()
    if (signal === 'SIGKILL') continue
    t.equal(code, 1, program.output())
    t.match(program.output(), 'interrupted; run the same command again to continue')
  }
  const { code, stdout, stderr } = await operator.run(command)
  t.equal(code, 0, stdout + stderr)
  t.match(stderr, 'resuming the rewrite of')
  t.match(
    stdout,
    /objects read; all \d[\d,]* that must be encrypted are stored as API servers write them now/,
  )
  t.equal(stateOf(operator), undefined, 'no state file is left')
  await writers.stop()
  for (const [name, value] of writers.expected) expected.set(name, value)
  t.same(await readAll(cluster.api), expected)
  t.same(Object.keys(await keyIdsOfSecrets(cluster)), [keyId])
  t.comment(`${String(writers.writes)} rounds of writes meanwhile; ${stdout.split('\n')[0] ?? ''}`)
})

void test('plaintext is encrypted afterwards, and a dry run changes nothing', async (t) => {
  const cluster = await startCluster(t, { encryptionConfig: () => encryptionConfig([identity]) })
  const expected = await fill(cluster, 40)
  const config = encryptionConfig([kms(cluster.plugin.socket), identity])
  await cluster.api.restart({ encryptionConfig: config })
  const file = join(cluster.api.dir, 'for-rewrite.yaml')
  writeFileSync(file, config)
  const operator = await Operator.of({ apis: [cluster.api], etcd: cluster.etcd })
  const dry = await operator.run(['rewrite', '--encryption-config', file, '--dry-run'])
  t.equal(dry.code, 0, dry.stderr)
  t.match(dry.stdout, /secrets: 40 objects\n.*no changes made/s)
  t.same(await keyIdsOfSecrets(cluster), { plain: 40 })
  const { code, stdout, stderr } = await operator.run(['rewrite', '--encryption-config', file])
  t.equal(code, 0, stdout + stderr)
  t.match(stdout, /^secrets: 40 rewritten\n/)
  const { keyId } = await cluster.plugin.client.status()
  t.same(await keyIdsOfSecrets(cluster), { [keyId]: 40 })
  t.same(await readAll(cluster.api), expected)
  const again = await operator.run(['rewrite', '--encryption-config', file])
  t.match(again.stdout, /^secrets: 40 already current\n/)
})

void test('it does not start while an API server has the old key, or is down', async (t) => {
  const signer = await ServiceAccountIssuer.create()
  const cluster = await startCluster(t, { api: { signer } })
  const lagging = await startPlugin(t, cluster.vault, cluster.proxy, { refreshInterval: '5m' })
  const second = await startApiServer(t, {
    etcd: cluster.etcd,
    signer,
    encryptionConfig: usualConfig(lagging.socket),
  })
  await fill(cluster, 10)
  const before = await keyIdsOfSecrets(cluster)
  await rotate(cluster)
  const both = await Operator.of({
    apis: [cluster.api, second],
    plugins: [cluster.plugin, lagging],
    etcd: cluster.etcd,
  })
  const refused = await both.run(['rewrite', '--resources', 'secrets'])
  t.equal(refused.code, 1)
  t.equal(refused.stdout, '')
  t.match(refused.stderr, 'the API servers have different keys of provider transit-bridge')
  t.equal(refused.stderr.trim().split('\n').length, 1)
  t.same(await keyIdsOfSecrets(cluster), before, 'no changes made')

  await lagging.kill()
  await lagging.restart()
  const { keyId } = await cluster.plugin.client.status()
  await noticed(second, keyId)
  await second.kill()
  const unreachable = await both.run(['rewrite', '--resources', 'secrets'])
  t.equal(unreachable.code, 1)
  t.match(unreachable.stderr, `${second.address} refuses the connection`)
  await second.restart()
  const differing = await both.run(['rewrite', '--resources', 'secrets'])
  t.match(differing.stderr, 'the API servers have different EncryptionConfigurations')
  await eventually('both to agree', async () => {
    const { code, stderr } = await both.run([...COMMAND, '--configs-may-differ'])
    if (code !== 0) throw new Error(stderr)
    return true
  })
  t.same(await keyIdsOfSecrets(cluster), { [keyId]: 10 })
})

void test('each wrong input is one line, and nothing is changed', async (t) => {
  const cluster = await startCluster(t)
  await fill(cluster, 3)
  const { api } = cluster
  const before = await cluster.etcd.range(SECRETS)
  const foreign = await CertificateAuthority.create('another CA')
  const token = await api.serviceAccountToken('default', 'nobody')
  await badInputs(t, cluster, [
    [['--kubeconfig', '/nowhere'], 2, 'kubeconfig /nowhere: cannot be read: there is no such file'],
    [['--kubeconfig', kubeconfigOf(api), '--context', 'x'], 2, 'has no context "x"'],
    [
      ['--kubeconfig', kubeconfigOf(api, { caFile: foreign.caFile })],
      1,
      'has a certificate that is not signed by the authority in the kubeconfig',
    ],
    [['--kubeconfig', kubeconfigOf(api, { token: 'wrong' })], 1, 'rejects the credentials'],
    [['--kubeconfig', kubeconfigOf(api, { token })], 1, 'the API server denies GET /apis'],
    [
      ['--kubeconfig', kubeconfigOf(api, { server: 'https://127.0.0.1:1' })],
      1,
      'refuses the connection',
    ],
  ])
  t.same(await cluster.etcd.range(SECRETS), before)
})

async function badInputs(
  t: Test,
  { etcd }: Cluster,
  inputs: readonly (readonly [string[], number, string])[],
): Promise<void> {
  const { run } = await import('../../commands/program.ts')
  const HOME = t.testdir()
  for (const [options, code, message] of inputs) {
    const args = ['rewrite', '--resources', 'secrets', '--endpoints', etcd.address, ...options]
    const outcome = await run(args, { env: { HOME } })
    t.equal(outcome.code, code, outcome.stderr)
    t.equal(outcome.stdout, '')
    t.match(outcome.stderr, message)
    t.equal(outcome.stderr.trim().split('\n').length, 1, outcome.stderr)
  }
}
