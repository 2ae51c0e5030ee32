// `transit-bridge rewrite` where the real kube-controller-manager does the work: StorageVersionMigration as Kubernetes 1.37
// has it without a feature gate.
import { after, t, test } from 'tap'
import { KEY } from '../../real/vault/kms-vault.ts'
import { obtain } from '../../real/host/parts.ts'
import { freePort } from '../../real/host/port.ts'
import { Program } from '../../real/program/program.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { rotateKey } from '../../real/vault/transit-setup.ts'
import { reportOf } from '../../verify/run-verify.ts'
import { forEachOf, Operator } from '../command.ts'
import { eventually } from '../../real/host/eventually.ts'
import { kubeconfigOf } from '../kube-config.ts'
import { newKeyId, noticed } from '../observe.ts'
import { startCluster } from '../cluster.ts'
import { readAll } from './writers.ts'

const SIZE = 40
const MIGRATIONS = '/apis/storagemigration.k8s.io/v1/storageversionmigrations'
const LEASE = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager'
const COMMAND = ['rewrite', '--resources', 'secrets']

const { api, etcd, plugin, vault } = await startCluster(t)
const operator = await Operator.of({ apis: [api], plugins: [plugin], etcd })
const expected = new Map<string, string>()
await forEachOf(SIZE, async (index) => {
  const name = `secret-${String(index)}`
  await api.createSecret('default', name, { value: name })
  expected.set(name, name)
})
const manager = Program.start({
  name: 'kube-controller-manager',
  command: await obtain('kube-controller-manager'),
  folder: tempFolder('kube-controller-manager'),
  args: [
    `--kubeconfig=${kubeconfigOf(api)}`,
    '--controllers=storage-version-migrator-controller,garbage-collector-controller',
    '--bind-address=127.0.0.1',
    `--secure-port=${String(await freePort())}`,
  ],
})
after(() => manager.terminate())
await manager.waitUntil('leading', async () => (await api.request('GET', LEASE)).status === 200)

/** A new version of the key, which the API server writes with when this returns. */
async function rotate(): Promise<void> {
  const { keyId } = await plugin.client.status()
  await rotateKey(vault.bao, KEY)
  await noticed(api, await newKeyId(plugin, keyId))
}

/** Secrets by the version of the key that they are stored under. */
async function versions(): Promise<Record<string, number>> {
  const { report } = await reportOf('--endpoints', etcd.address, '--resources', 'secrets')
  const groups = report.resources.flatMap((each) => each.groups)
  return Object.fromEntries(groups.map(({ keyVersion, objects }) => [String(keyVersion), objects]))
}

type Migration = { metadata: { name: string }; status?: { resourceVersion?: string } }

async function migrations(): Promise<Migration[]> {
  return (await api.api('GET', MIGRATIONS)).items as Migration[]
}

/**
 * Runs the command in a cluster where others write, too: a write after the revision of the migration is what the
 * controller waits for. Without writes it waits for a bookmark, which comes within a minute.
 */
async function runAmongOthers(args: string[]) {
  const write = async () => {
    await eventually('the migration to have a revision', async () =>
      (await migrations()).some(({ status }) => status?.resourceVersion !== undefined),
    )
    await api.patchSecret('default', 'secret-0', { metadata: { labels: { by: 'another' } } })
  }
  const [outcome] = await Promise.all([operator.run(args), write()])
  return outcome
}

/** Starts a rewrite and kills it before the controller can do anything; returns the name of its migration. */
async function beginAndKill(): Promise<string> {
  manager.pause()
  const program = operator.start([...COMMAND, '--method', 'migration'])
  await program.waitForLine(/StorageVersionMigration transit-bridge-secrets/)
  await program.kill()
  const [migration] = await migrations()
  if (migration === undefined) throw new Error('there is no migration')
  return migration.metadata.name
}

for (const [method, version, runIt] of [
  ['migration', 2, runAmongOthers],
  ['auto', 3, (args: string[]) => operator.run(args)],
] as const) {
  void test(`--method ${method}: kube-controller-manager rewrites everything`, async (t) => {
    await rotate()
    const dry = await operator.run([...COMMAND, '--method', method, '--dry-run'])
    t.match(dry.stdout, 'kube-controller-manager (StorageVersionMigration v1)', dry.stderr)
    t.same(await versions(), { [version - 1]: SIZE })
    const { code, stdout, stderr } = await runIt([...COMMAND, '--method', method])
    t.equal(code, 0, stdout + stderr)
    t.match(stderr, /\(StorageVersionMigration transit-bridge-secrets-\w+\)/)
    t.match(stdout, 'secrets: rewritten by kube-controller-manager')
    t.match(
      stdout,
      /objects read; all \d[\d,]* that must be encrypted are stored as API servers write them now/,
    )
    t.same(await versions(), { [version]: SIZE })
    t.same(await readAll(api), expected)
    t.same(await migrations(), [], 'it is deleted when it has succeeded')
  })
}

void test('if interrupted, it continues the migration that it started', async (t) => {
  await rotate()
  const name = await beginAndKill()
  manager.resume()
  const { code, stdout, stderr } = await runAmongOthers([...COMMAND, '--method', 'migration'])
  t.equal(code, 0, stdout + stderr)
  t.match(stderr, 'resuming the rewrite of')
  t.match(stderr, `(StorageVersionMigration ${name})`)
  t.same(await versions(), { 4: SIZE })
  t.same(await migrations(), [])
})

void test('interrupted, and its migration deleted: it starts another one', async (t) => {
  await rotate()
  const name = await beginAndKill()
  await api.api('DELETE', `${MIGRATIONS}/${name}`)
  manager.resume()
  const { code, stdout, stderr } = await runAmongOthers([...COMMAND, '--method', 'migration'])
  t.equal(code, 0, stdout + stderr)
  t.equal(stderr.match(/StorageVersionMigration transit-bridge-secrets/g)?.length, 2, stderr)
  t.same(await versions(), { 5: SIZE })
  t.same(await migrations(), [])
})

void test('no controller runs a migration: auto does the work itself, migration reports it', async (t) => {
  await rotate()
  await manager.kill()
  const asked = await operator.run([...COMMAND, '--method', 'migration'])
  t.equal(asked.code, 1)
  t.match(asked.stderr, 'no controller started the StorageVersionMigration')
  t.same(await versions(), { 5: SIZE }, 'no changes made')
  const { code, stdout, stderr } = await operator.run([...COMMAND, '--method', 'auto'])
  t.equal(code, 0, stdout + stderr)
  t.match(stdout, `secrets: ${String(SIZE)} rewritten`)
  t.same(await versions(), { 6: SIZE })
  t.same(await readAll(api), expected)
  t.same(await migrations(), [])
})
