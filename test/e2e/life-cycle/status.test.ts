// `transit-bridge status` of a real cluster: two API servers, two plugins, OpenBao and etcd.
import { test } from 'tap'
import { KEY } from '../../real/vault/kms-vault.ts'
import { configKey, rotateKey } from '../../real/vault/transit-setup.ts'
import { forEachOf } from '../command.ts'
import { eventually } from '../../real/host/eventually.ts'
import { newKeyId, noticed } from '../observe.ts'
import { startTwoServers } from '../two-servers.ts'

void test('status at a glance: healthy, behind, silent, and as JSON', async (t) => {
  const { cluster, apis, plugins, operator } = await startTwoServers(t)
  const [first, second] = plugins
  if (first === undefined || second === undefined) throw new Error('there are two plugins')
  await forEachOf(30, (index) =>
    cluster.api.createSecret('default', `s-${String(index)}`, { v: '1' }),
  )
  const env = { VAULT_TOKEN: cluster.vault.bao.rootToken }
  const command = ['status', '--config', first.configFile, '--configs-may-differ']

  const well = await operator.run([...command, '--rotate-every', '90d'], env)
  t.equal(well.code, 0, well.stdout + well.stderr)
  t.match(well.stdout, /transit key k8s-etcd: version 1 since .*; next rotation due /)
  t.match(well.stdout, /plugin +http:\/\/127\.0\.0\.1:\d+ +[0-9a-f]{12} +1 +\d+ min +- +ok/)
  t.match(well.stdout, /api server +https:\/\/127\.0\.0\.1:\d+ +[0-9a-f]{12} +1 +- +\d+ s ago +ok/)
  t.match(well.stdout, /30 \(100 %\) by kms v2 transit-bridge, version 1/)
  t.match(well.stdout, /no problems found\n$/)

  const { keyId } = await first.client.status()
  await rotateKey(cluster.vault.bao, KEY)
  await configKey(cluster.vault.bao, KEY, { auto_rotate_period: '720h' })
  const newId = await newKeyId(first, keyId)
  const behind = await operator.run(command, env)
  t.equal(behind.code, 1)
  t.match(behind.stdout, /the api server .* has version 1 of the key, but Vault has version 2/)
  t.match(behind.stdout, /next rotation due .*, by Vault/)

  await eventually('both to follow', async () => {
    await Promise.all(apis.map((api) => noticed(api, newId)))
    return true
  })
  await second.kill()
  const silent = await operator.run([...command, '--json'], env)
  t.equal(silent.code, 1)
  t.match(JSON.parse(silent.stdout), {
    ok: false,
    key: { latestVersion: 2, rotatedBy: 'vault' },
    stored: [{ objects: 30, keyVersion: 1 }],
  })
  t.match(silent.stdout, 'refuses the connection')
  t.notMatch(silent.stdout + silent.stderr, cluster.vault.bao.rootToken)
})
