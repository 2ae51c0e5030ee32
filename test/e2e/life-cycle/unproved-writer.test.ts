// An API server that uses the plugin only for reading reports the plugin's key, just like one that writes with it. Where the
// hash of its EncryptionConfiguration is missing, as before Kubernetes 1.34, only what it wrote is proof.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { MetricsProxy } from '../../real/faults/metrics-proxy.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { startCluster } from '../cluster.ts'
import { forEachOf, Operator } from '../command.ts'
import { encryptionConfig, identity, kms } from '../encryption-config.ts'
import { kmsProviders } from '../observe.ts'
import { SECRETS } from '../stored.ts'

const aescbc = {
  aescbc: { keys: [{ name: 'one', secret: Buffer.alloc(32, 1).toString('base64') }] },
}
/** Kubernetes before 1.34 does not have it. */
const CONFIG_INFO = 'apiserver_encryption_config_controller_last_config_info'

void test('aescbc first and the plugin second: no command assumes that the plugin writes', async (t) => {
  const cluster = await startCluster(t, {
    encryptionConfig: () => encryptionConfig([aescbc, identity]),
  })
  const { api, etcd, plugin, vault } = cluster
  await forEachOf(5, (index) => api.createSecret('default', `s-${String(index)}`, { v: '1' }))
  const first = encryptionConfig([kms(plugin.socket), aescbc, identity])
  const file = join(tempFolder('unproved'), 'encryption.yaml')
  writeFileSync(file, first)
  const env = { VAULT_TOKEN: vault.bao.rootToken }
  const older = await MetricsProxy.start(api, [CONFIG_INFO])
  t.teardown(() => older.stop())
  const seen = { apis: [api], addresses: [older.address], caFiles: [older.caFile] }
  const withEtcd = await Operator.of({ ...seen, etcd })
  const blind = await Operator.of({ ...seen, plugins: [plugin] })
  const config = ['--config', plugin.configFile]
  const secrets = ['--resources', 'secrets']
  const fails = async (operator: Operator, command: string[], why: string | RegExp, code = 1) => {
    const outcome = await operator.run(command, env)
    t.equal(outcome.code, code, command.join(' ') + outcome.stdout + outcome.stderr)
    t.match(outcome.stdout + outcome.stderr, why, command.join(' '))
  }

  await t.test('no API server has the plugin', async () => {
    const missing = /has no KMS v2 provider transit-bridge, which writes according to the file/
    for (const operator of [withEtcd, blind]) {
      await fails(operator, ['rewrite', '--encryption-config', file], missing)
      const vouched = ['rewrite', '--encryption-config', file, '--configs-may-differ']
      await fails(operator, vouched, missing)
    }
    await fails(withEtcd, ['rewrite', ...secrets], '5 of secrets under another key')
  })

  await t.test('it has the plugin for reading', async () => {
    const read = encryptionConfig([aescbc, kms(plugin.socket), identity])
    await api.restart({ encryptionConfig: read })
    await kmsProviders(api, 'ok')
    const why = /it is not proved that https:\S+ writes with transit-bridge/
    await fails(blind, ['status', ...config], why)
    await fails(blind, ['status', '--encryption-config', file], why)
    await fails(withEtcd, ['status', ...config], why)
    await fails(blind, ['rewrite', '--encryption-config', file], why)
    await fails(withEtcd, ['rewrite', '--encryption-config', file], why)
    await fails(withEtcd, ['rewrite', ...secrets], why)
    await fails(withEtcd, ['rotate', ...config, ...secrets], why)
    await fails(blind, ['rewrite', ...secrets], 'nothing would prove the result', 2)
    await fails(blind, ['rotate', ...config, ...secrets], 'nothing would prove the result', 2)
  })

  await t.test('even if an operator vouches for the files, etcd decides', async (t) => {
    const vouched = [...secrets, '--configs-may-differ']
    await fails(withEtcd, ['rewrite', ...vouched], '5 of secrets under another key')
    const rotate = ['rotate', ...config, ...vouched, '--finish']
    await fails(withEtcd, rotate, /must not leave behind: 5 of secrets not under version 1/)
    const accepted = await withEtcd.run([...rotate, '--accept', 'secrets'], env)
    t.equal(accepted.code, 0, accepted.stdout + accepted.stderr)
    t.match(accepted.stderr, 'not checked, because of --accept: 5 objects of secrets')
    for (const { value } of await etcd.range(SECRETS))
      t.match(value.toString('latin1'), /^k8s:enc:aescbc:/)
  })

  await t.test('the plugin writes: the first object that it encrypted proves it', async (t) => {
    await api.restart({ encryptionConfig: first })
    await kmsProviders(api, 'ok')
    await fails(withEtcd, ['rewrite', '--encryption-config', file], /it is not proved that/)
    await api.createSecret('default', 'proof', { v: '1' })
    const done = await withEtcd.run(['rewrite', '--encryption-config', file], env)
    t.equal(done.code, 0, done.stdout + done.stderr)
    t.match(done.stdout, 'secrets: 5 rewritten, 1 already current')
    const status = await withEtcd.run(['status', ...config, '--encryption-config', file], env)
    t.equal(status.code, 0, status.stdout + status.stderr)
  })
})
