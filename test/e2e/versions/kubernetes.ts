// KMS v2, the life cycle and the chart's objects with each minor version of Kubernetes: npm run test:versions
// KUBERNETES_VERSIONS=1.30,1.37 selects some of them.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import type { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import type { Part } from '../../real/host/parts.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { reportOf, runVerify } from '../../verify/run-verify.ts'
import { startOfflineCluster } from '../api-server/local-keys.ts'
import { dryRunChart } from '../chart/dry-run.ts'
import { startApiServer, startCluster, usualConfig, type Cluster } from '../cluster.ts'
import { forEachOf, Operator } from '../command.ts'
import { encryptionConfig, identity } from '../encryption-config.ts'
import { kmsProviders, reloads } from '../observe.ts'
import { SECRETS, parseStored, storedV2 } from '../stored.ts'

type Version = {
  minor: string
  part: Part
  /** Whether it reports the hash of its EncryptionConfiguration. */
  hasConfigHash: boolean
  /** AllowUnsafeMalformedObjectDeletion (KEP-3926), by which an object that cannot be read is deleted. */
  unsafeDeletion: 'none' | 'gate' | 'default'
}

const VERSIONS: readonly Version[] = [
  { minor: '1.30', part: 'kube-apiserver-1.30', hasConfigHash: false, unsafeDeletion: 'none' },
  { minor: '1.32', part: 'kube-apiserver-1.32', hasConfigHash: false, unsafeDeletion: 'none' },
  { minor: '1.34', part: 'kube-apiserver-1.34', hasConfigHash: true, unsafeDeletion: 'gate' },
  { minor: '1.36', part: 'kube-apiserver-1.36', hasConfigHash: true, unsafeDeletion: 'gate' },
  { minor: '1.37', part: 'kube-apiserver', hasConfigHash: true, unsafeDeletion: 'default' },
]

const COUNT = 20
const CONFIG_INFO = 'apiserver_encryption_config_controller_last_config_info'
const STATUS_SEEN = 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds'
const UNPROVED =
  /does not report the hash of that file \(Kubernetes before 1\.34\).*--configs-may-differ/

const selected =
  process.env['KUBERNETES_VERSIONS']?.split(',') ?? VERSIONS.map(({ minor }) => minor)
const unknown = selected.filter((name) => VERSIONS.every(({ minor }) => minor !== name))
if (unknown.length > 0) throw new Error(`KUBERNETES_VERSIONS: unknown: ${unknown.join(', ')}`)

for (const version of VERSIONS.filter(({ minor }) => selected.includes(minor))) {
  void test(`Kubernetes ${version.minor}`, async (t) => {
    const cluster = await startCluster(t, {
      encryptionConfig: () => encryptionConfig([identity]),
      api: { part: version.part },
    })
    const { gitVersion } = await cluster.api.api('GET', '/version')
    t.match(gitVersion, `v${version.minor}.`)
    t.comment(`kube-apiserver ${String(gitVersion)}`)
    await t.test('encrypt', (t) => encrypt(t, cluster))
    await t.test('metrics', (t) => readMetrics(t, cluster, version))
    await t.test('rewrite and verify', (t) => rewrite(t, cluster, version))
    await t.test('rotate', (t) => rotate(t, cluster))
    await t.test('delete an unreadable object', (t) => deleteUnreadable(t, cluster, version))
    await t.test('starts without Vault', (t) => startWithoutVault(t, version))
    await t.test('server-side dry run of the chart', async (t) => {
      for (const name of ['transit-bridge', 'monitoring'])
        await cluster.api.createServiceAccount(name, 'default')
      for (const { what, status, why } of await dryRunChart(cluster.api, version.minor))
        t.equal(status, 201, `${what}: ${why}`)
    })
  })
}

/** Encryption starts with a reload of the EncryptionConfiguration; what is plaintext stays. */
async function encrypt(t: Test, { api, etcd, plugin }: Cluster): Promise<void> {
  await forEachOf(COUNT, (index) =>
    api.createSecret('default', nameOf(index), { v: nameOf(index) }),
  )
  const before = await reportOf('--endpoints', etcd.address)
  t.match(before, { code: 1, report: { ok: false, plain: COUNT } })
  await api.writeEncryptionConfig(usualConfig(plugin.socket))
  await reloads(api, 'success', 1)
  await kmsProviders(api, 'ok')
  await api.createSecret('default', 'encrypted', { v: 'encrypted' })
  const { keyId } = await plugin.client.status()
  t.match(await storedV2(etcd, 'encrypted'), { keyId, isSeed: true })
}

async function readMetrics(t: Test, { api }: Cluster, { hasConfigHash }: Version): Promise<void> {
  const [seen] = await api.samples(STATUS_SEEN)
  t.match(seen?.labels, { provider_name: 'transit-bridge', apiserver_id_hash: /^sha256:/ })
  t.equal((await api.samples(CONFIG_INFO)).length > 0, hasConfigHash)
}

/** After a restart, only the hash of the file proves which provider writes. */
async function rewrite(t: Test, cluster: Cluster, { hasConfigHash }: Version): Promise<void> {
  const { api, etcd } = cluster
  await api.restart()
  await kmsProviders(api, 'ok')
  const { operator, config, file, env } = await operate(cluster)
  const command = ['rewrite', '--encryption-config', file]
  const status = await operator.run(['status', ...config], env)
  const first = await operator.run(command, env)
  if (hasConfigHash) {
    t.notMatch(status.stdout + status.stderr, /is not proved/)
    t.equal(first.code, 0, first.stdout + first.stderr)
    t.match(first.stdout, rewritten)
  } else {
    t.match(status, { code: 1, stdout: UNPROVED })
    t.equal(first.code, 1)
    t.match(first.stdout + first.stderr, UNPROVED)
    const vouched = await operator.run([...command, '--configs-may-differ'], env)
    t.equal(vouched.code, 0, vouched.stdout + vouched.stderr)
    t.match(vouched.stdout, rewritten)
  }
  t.match(await reportOf('--endpoints', etcd.address), { code: 0, report: { ok: true, plain: 0 } })
  const after = await operator.run(['status', ...config], env)
  t.equal(after.code, 0, after.stdout + after.stderr)
}

const rewritten = `secrets: ${String(COUNT)} rewritten, 1 already current`

async function rotate(t: Test, cluster: Cluster): Promise<void> {
  const { api, etcd } = cluster
  const { operator, config, env } = await operate(cluster)
  const { code, stdout, stderr } = await operator.run(['rotate', ...config], env)
  t.equal(code, 0, stdout + stderr)
  t.match(stdout, 'etcd needs version 2 and newer')
  const values = await etcd.range(SECRETS)
  t.equal(values.length, COUNT + 1)
  for (const { value } of values)
    t.match(parseStored(value), { format: 'v2', source: /^vault:v2:/ })
  await api.restart()
  for (let index = 0; index < COUNT; index++)
    t.same(await api.getSecret('default', nameOf(index)), { v: nameOf(index) })
}

/** The command that `verify` prints sends this request. */
async function deleteUnreadable(t: Test, cluster: Cluster, version: Version): Promise<void> {
  const { api, etcd, plugin } = cluster
  const key = `${SECRETS}default/damaged`
  const whole = await etcd.get(`${SECRETS}default/encrypted`)
  if (whole === undefined) throw new Error('it was created')
  await etcd.put(key, whole.subarray(0, 60))
  t.match(await runVerify('--endpoints', etcd.address), {
    code: 1,
    stdout:
      /Kubernetes 1\.37, or 1\.34 and newer with the feature gate AllowUnsafeMalformedObjectDeletion/,
  })
  if (version.unsafeDeletion !== 'default') {
    t.not((await deleteDamaged(api)).status, 200)
    t.not(await etcd.get(key), undefined, 'it is still there')
  }
  if (version.unsafeDeletion === 'none') {
    await etcd.delete(key)
  } else {
    const server =
      version.unsafeDeletion === 'default'
        ? api
        : await startApiServer(t, {
            etcd,
            part: version.part,
            encryptionConfig: usualConfig(plugin.socket),
            extraArgs: ['--feature-gates=AllowUnsafeMalformedObjectDeletion=true'],
            // It answers, but it is not ready as long as it cannot read all Secrets.
            waitReady: false,
          })
    await server.waitUntil('the deletion', async () => (await deleteDamaged(server)).status === 200)
    t.equal(await etcd.get(key), undefined)
  }
  t.match(await runVerify('--endpoints', etcd.address), { code: 0 })
}

/** With local keys: ready, all Secrets read and one written, and no request to Vault. */
async function startWithoutVault(t: Test, { part }: Version): Promise<void> {
  const scale = { seeds: 300, secrets: 1_000 }
  const cluster = await startOfflineCluster(t, { ...scale, api: { part } })
  await cluster.vault.bao.kill()
  cluster.mark()
  for (let start = 0; start < 3; start += 1) {
    const { readySeconds } = await cluster.restart()
    t.comment(`ready after ${readySeconds.toFixed(1)} s`)
  }
  t.equal(cluster.vaultRequests(), 0)
  await kmsProviders(cluster.api, 'ok')
}

function deleteDamaged(api: KubeApiServer) {
  return api.request('DELETE', '/api/v1/namespaces/default/secrets/damaged', {
    kind: 'DeleteOptions',
    apiVersion: 'v1',
    ignoreStoreReadErrorWithClusterBreakingPotential: true,
  })
}

async function operate({ api, etcd, plugin, vault }: Cluster) {
  const file = join(tempFolder('versions'), 'encryption.yaml')
  writeFileSync(file, usualConfig(plugin.socket))
  return {
    operator: await Operator.of({ apis: [api], plugins: [plugin], etcd }),
    file,
    config: ['--config', plugin.configFile, '--encryption-config', file],
    env: { VAULT_TOKEN: vault.bao.rootToken },
  }
}

function nameOf(index: number): string {
  return `s-${String(index)}`
}
