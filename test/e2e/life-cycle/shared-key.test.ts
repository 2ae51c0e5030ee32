// Two clusters use one Transit key: a version that one of them no longer needs may still be needed by the other.
import { test } from 'tap'
import { KEY } from '../../real/vault/kms-vault.ts'
import { saveSnapshot } from '../../verify/snapshot-of.ts'
import { startApiServer, startCluster, startEtcd, startPlugin, usualConfig } from '../cluster.ts'
import { Operator } from '../command.ts'

void test('rotate disables no version that another cluster may need', async (t) => {
  const cluster = await startCluster(t)
  const { vault, proxy } = cluster
  const etcd = await startEtcd(t)
  const plugin = await startPlugin(t, vault, proxy, { clusterId: 'another-cluster' })
  const other = await startApiServer(t, { etcd, encryptionConfig: usualConfig(plugin.socket) })
  await other.createSecret('default', 'theirs', { v: '1' })
  const theirs = await saveSnapshot(etcd)
  await cluster.api.createSecret('default', 'ours', { v: '1' })
  const ours = await saveSnapshot(cluster.etcd)

  const operator = await Operator.of({
    apis: [cluster.api],
    plugins: [cluster.plugin],
    etcd: cluster.etcd,
  })
  const env = { VAULT_TOKEN: vault.bao.rootToken }
  const command = ['rotate', '--config', cluster.plugin.configFile, '--resources', 'secrets']
  const rotated = await operator.run(command, env)
  t.equal(rotated.code, 0, rotated.stdout + rotated.stderr)
  t.match(rotated.stderr, 'other clusters may use this key, and Vault does not know')

  const raise = [...command, '--finish', '--yes-raise-min-decryption-version', '2']
  const unproved = await operator.run(raise, env)
  t.match(unproved, { code: 2, stderr: /pass an etcd snapshot of each with --other-cluster/ })
  const needed = await operator.run([...raise, '--other-cluster', theirs], env)
  t.match(needed, {
    code: 1,
    stderr: /still needs version 1, and its data would become unreadable/,
  })
  const own = await operator.run(
    [...raise, '--other-cluster', await saveSnapshot(cluster.etcd)],
    env,
  )
  t.equal(own.code, 1, own.stdout + own.stderr)
  t.match(own.stderr, 'it belongs to this cluster, so it proves nothing about another cluster')
  const both = ['--only-cluster', '--other-cluster', theirs]
  t.match(await operator.run([...raise, ...both], env), {
    code: 2,
    stderr: /cannot be used together/,
  })
  const backup = ['--only-cluster', '--backup', ours]
  t.match(await operator.run([...raise, ...backup], env), { code: 1, stderr: /needs version 1/ })
  const minimum = async () => {
    const { data } = await vault.bao.api('GET', `transit/keys/${KEY}`)
    return Number(data.min_decryption_version)
  }
  t.equal(await minimum(), 1, 'nothing was raised')
  t.equal((await operator.run([...raise, '--only-cluster'], env)).code, 0)
  t.equal(await minimum(), 2)
})
