// Two API servers behind one address: what one of them reports is not true of the other. No procedure may mistake them for one.
import { test } from 'tap'
import { Balancer } from '../../real/faults/balancer.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import { forEachOf, Operator } from '../command.ts'
import { encryptionConfig, identity, kms } from '../encryption-config.ts'
import { SECRETS } from '../stored.ts'
import { startApiServer, startCluster } from '../cluster.ts'

const SECRET = Buffer.alloc(32, 1).toString('base64')
const aescbc = { aescbc: { keys: [{ name: 'one', secret: SECRET }] } }

void test('status, rewrite and rotate stop if an address has two API servers behind it', async (t) => {
  const signer = await ServiceAccountIssuer.create()
  const cluster = await startCluster(t, {
    api: { signer, hostname: 'control-1' },
    encryptionConfig: (socket) => encryptionConfig([kms(socket), aescbc, identity]),
  })
  // It reports the same key, and writes with aescbc.
  const lagging = await startApiServer(t, {
    etcd: cluster.etcd,
    signer,
    hostname: 'control-2',
    encryptionConfig: encryptionConfig([aescbc, kms(cluster.plugin.socket), identity]),
  })
  const apis = [cluster.api, lagging]
  const balancer = await Balancer.start(apis.map((api) => api.address))
  t.teardown(() => balancer.stop())
  const address = balancer.address.replace('http:', 'https:')
  await forEachOf(20, (index) => lagging.createSecret('default', `s-${String(index)}`, { v: '1' }))
  const { etcd, plugin } = cluster
  const before = await etcd.range(SECRETS)
  const behind = await Operator.of({ apis, plugins: [plugin], etcd, addresses: [address] })
  const env = { VAULT_TOKEN: cluster.vault.bao.rootToken }
  const config = ['--config', plugin.configFile]
  const secrets = ['--resources', 'secrets', '--configs-may-differ']
  const why =
    /at least 2 API servers answer at https:.*so it is the address of a load balancer.*--api-server/
  for (const command of [
    ['status', ...config, '--configs-may-differ'],
    ['rewrite', ...secrets],
    ['rewrite', ...secrets, '--dry-run'],
    ['rotate', ...config, ...secrets],
    ['rotate', ...config, ...secrets, '--finish'],
  ]) {
    const { code, stdout, stderr } = await behind.run(command, env)
    t.equal(code, 1, command.join(' ') + stdout + stderr)
    t.match(stdout + stderr, why, command.join(' '))
  }
  t.same(await etcd.range(SECRETS), before, 'nothing was rewritten')
  const { data } = await cluster.vault.bao.api('GET', `transit/keys/${KEY}`)
  t.equal(data.latest_version, 1, 'nothing was rotated')

  // With a balancer that always chooses the same one, only the Leases show the other.
  balancer.use([cluster.api.address])
  const sticky = await behind.run(['rewrite', ...secrets], env)
  t.equal(sticky.code, 1, sticky.stdout + sticky.stderr)
  t.match(sticky.stderr, 'the cluster has API servers that were not read (control-2)')
  const one = await Operator.of({ apis: [cluster.api], etcd })
  const unnamed = await one.run(['status', ...config], env)
  t.match(unnamed.stdout, 'the cluster has API servers that were not read (control-2)')
  t.equal(unnamed.code, 1)
  t.same(await etcd.range(SECRETS), before, 'nothing was rewritten')
})
