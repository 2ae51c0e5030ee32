// `transit-bridge drill` on real parts: a backup, an outage that ends, and the order of a restore.
import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { test } from 'tap'
import { run } from '../../commands/program.ts'
import type { Plugin } from '../../real/program/plugin.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { configKey, rotateKey } from '../../real/vault/transit-setup.ts'
import { forEachOf, Operator } from '../command.ts'
import { newKeyId, noticed } from '../observe.ts'
import { saveSnapshot } from '../../verify/snapshot-of.ts'
import { startCluster, startEtcd, startPlugin } from '../cluster.ts'

const DANGER = '--i-know-this-can-stop-the-api-server'
const TOKEN = 'a-token-of-the-rehearsal'

const addressOf = ({ adminPort }: Plugin) => `127.0.0.1:${String(adminPort)}`

void test('drill backup: what the snapshot needs, and what the current Vault can no longer decrypt', async (t) => {
  const cluster = await startCluster(t)
  const { api, plugin, vault, etcd } = cluster
  await forEachOf(40, (index) => api.createSecret('default', `s-${String(index)}`, { v: '1' }))
  const { keyId } = await plugin.client.status()
  await rotateKey(vault.bao, KEY)
  await noticed(api, await newKeyId(plugin, keyId))
  await forEachOf(10, (index) => api.createSecret('default', `new-${String(index)}`, { v: '1' }))
  const file = await saveSnapshot(etcd)
  const command = ['drill', 'backup', file, '--config', plugin.configFile]
  const good = await run(command)
  t.equal(good.code, 0, good.stdout + good.stderr)
  t.match(good.stdout, 'key versions needed by this etcd snapshot: kms v2 transit-bridge: 1, 2')
  t.match(good.stdout, 'this Vault can decrypt all of it')

  await t.test('drill restore: each step of a new cluster, checked', async (t) => {
    const config = join(t.testdir(), 'new.yaml')
    const write = (alsoDecryptClusters: string[]) =>
      writeFileSync(
        config,
        stringify({
          ...vault.configuration(),
          transit: { key: KEY },
          kms: { clusterId: 'new-cluster', alsoDecryptClusters },
        }),
      )
    write([])
    const first = await run(['drill', 'restore', file, '--config', config])
    t.equal(first.code, 1)
    t.match(
      first.stdout,
      /2\. \[to do\] .*\n.*kms\.clusterId is "new-cluster"; after a restore, list the other cluster in kms\.alsoDecryptClusters/,
    )
    write(['test-cluster'])
    const copy = join(tempFolder('copy'), 'copy.db')
    writeFileSync(copy, readFileSync(file).subarray(0, -32))
    const unchecked = await run(['drill', 'restore', copy, '--config', config])
    t.equal(unchecked.code, 1)
    t.match(unchecked.stdout, /3\. \[to do\] .*\n.*has no checksum, so objects may be missing/)
    const accepted = ['drill', 'restore', copy, '--config', config, '--skip-hash-check']
    const partly = await run(accepted)
    t.match(partly.stdout, /3\. \[ok\] /)
    t.equal(partly.code, 1, 'plugins and etcd were not checked')
    t.match(partly.stdout, /^NOT ok: of 5 steps, 0 to do and 2 not checked$/m)
    const empty = await startEtcd(t)
    const restore = (address: string, ...more: readonly string[]) =>
      run(['drill', 'restore', file, '--config', config, '--endpoints', address, ...more])
    const second = await restore(empty.address)
    t.match(
      second.stdout,
      /1\. \[ok\].*\n.*\n2\. \[ok\].*\n.*\n3\. \[ok\] .*\n +2\d\d objects read, every encrypted object decrypted/,
    )
    t.match(second.stdout, /5\. \[to do\] .*\n.*holds no keys/)
    await empty.put('/registry/events/default/a.1', Buffer.from('{}'))
    const events = await restore(empty.address)
    t.equal(events.code, 1)
    t.match(events.stdout, /5\. \[to do\] .*\n.*namespaces\/kube-system does not exist/)
    await empty.put('/registry/namespaces/kube-system', Buffer.from(`{"uid":"${randomUUID()}"}`))
    const another = await restore(empty.address, '--plugin', addressOf(plugin))
    t.equal(another.code, 1)
    t.match(another.stdout, /4\. \[to do\] .*\n.*announces a different key id than/)
    t.match(another.stdout, /5\. \[to do\] .*\n.*so this etcd was not restored from it/)
    const clusters = { clusterId: 'new-cluster', alsoDecryptClusters: ['test-cluster'] }
    const started = await startPlugin(t, vault, cluster.proxy, clusters)
    const third = await restore(etcd.address, '--plugin', addressOf(started))
    t.equal(third.code, 0, third.stdout + third.stderr)
    t.match(third.stdout, /4\. \[ok\] start the plugins/)
    t.match(third.stdout, /^ok: all 5 steps are done\nafterwards: rewrite everything/m)

    await etcd.put('/registry/secrets/default/plain', Buffer.from('{"kind":"Secret"}'))
    const mixed = await run(['drill', 'restore', await saveSnapshot(etcd), '--config', config])
    t.match(
      mixed.stdout,
      /3\. \[ok\] .*\n.*; 1 in plaintext, which the rewrite encrypts/,
      'what is in plaintext can be restored',
    )
  })

  await configKey(vault.bao, KEY, { min_decryption_version: 2 })
  const bad = await run(command)
  t.equal(bad.code, 1)
  t.match(bad.stdout, 'not proved that all of it can be restored')
  for (const [args, code, message] of [
    [['drill', 'backup', '/nowhere', '--config', plugin.configFile], 2, 'there is no such file'],
    [
      ['drill', 'backup', plugin.configFile, '--config', plugin.configFile],
      1,
      /not .*(bbolt|snapshot)/,
    ],
  ] as const) {
    const outcome = await run(args)
    t.equal(outcome.code, code)
    t.match(outcome.stderr, message)
    t.equal(outcome.stderr.trim().split('\n').length, 1, outcome.stderr)
  }
})

void test('drill outage: what the API server does, and a refusal without the confirmation, the token or the setting', async (t) => {
  const folder = t.testdir({ token: TOKEN, other: 'some-other-token-text' })
  const drill = { tokenFile: join(folder, 'token'), maxDuration: '1m' }
  const cluster = await startCluster(t, { kms: { outageGrace: '0s' } })
  const { vault, proxy, plugin, api } = cluster
  const operator = await Operator.of({ apis: [api], plugins: [plugin] })
  const command = ['drill', 'outage', '--drill-token', join(folder, 'token'), '--for', '25s']
  const off = await operator.run([...command, DANGER])
  t.equal(off.code, 2)
  t.match(off.stderr, 'does not allow drills; set admin.drill')

  plugin.configure({
    ...vault.configuration(proxy.address, {
      refreshInterval: '1s',
      outageGrace: '0s',
      socket: plugin.socket,
    }),
    admin: { drill },
  })
  await plugin.kill()
  await plugin.restart()
  await plugin.waitForHealth('ok')
  const unasked = await operator.run(command)
  t.equal(unasked.code, 2)
  t.match(unasked.stderr, `add ${DANGER}`)
  const wrong = await operator.run([
    'drill',
    'outage',
    '--drill-token',
    join(folder, 'other'),
    DANGER,
  ])
  t.match(wrong.stderr, 'the token is not the one in admin.drill.tokenFile')
  const long = await operator.run([
    'drill',
    'outage',
    '--drill-token',
    join(folder, 'token'),
    '--for',
    '2m',
    DANGER,
  ])
  t.match(long.stderr, 'seconds must be a whole number from 1 to 60')
  t.match(await plugin.client.status(), { healthz: 'ok' })

  const { code, stdout, stderr } = await operator.run([...command, '--json', DANGER])
  t.equal(code, 0, stdout + stderr)
  const record = JSON.parse(stdout) as { probes: Record<string, { failed: number }> }
  t.match(record, {
    seconds: 25,
    recovered: true,
    probes: { write: { failed: 0 }, read: { failed: 0 } },
  })
  t.ok((record.probes['ready']?.failed ?? 0) > 0, 'the API server said that it is not ready')
  t.match(await plugin.client.status(), { healthz: 'ok' })
  t.notMatch(stdout + stderr + plugin.program.output(), TOKEN)
  const { status } = await api.request(
    'GET',
    '/api/v1/namespaces/default/secrets/transit-bridge-drill',
  )
  t.equal(status, 404, 'the Secret of the drill is gone')
})

void test('a drill is refused where the listener is not on loopback', async (t) => {
  const { vault, proxy } = await startCluster(t)
  const plugin = await startPlugin(t, vault, proxy)
  const file = join(t.testdir(), 'config.yaml')
  writeFileSync(
    file,
    stringify({
      ...vault.configuration(),
      transit: { key: KEY },
      kms: { clusterId: 'c', socket: plugin.socket },
      admin: { listen: '0.0.0.0:9390', drill: { tokenFile: '/token' } },
    }),
  )
  const { code, stdout } = await run(['config', 'check', '--config', file])
  t.equal(code, 2)
  t.match(stdout, 'contains drill, which requires a listener on loopback')
})
