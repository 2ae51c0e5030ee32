// Others choose the names in etcd and in metrics: none of them may move the cursor, add a line, or be mistaken for a property
// of an object.
import { test } from 'tap'
import { run } from '../../commands/program.ts'
import { Etcd } from '../../real/cluster/etcd.ts'
import { saveSnapshot } from '../../verify/snapshot-of.ts'
import { startCluster } from '../cluster.ts'
import { Operator } from '../command.ts'
import { encryptionConfig, identity, kms } from '../encryption-config.ts'
import { kmsProviders } from '../observe.ts'

const ESC = '\u001b'
/** Clears the screen, changes the title, reverses the text, ends a line, and is invisible. */
const EVIL = `${ESC}[2J${ESC}]0;t\u0007\u009b31m\u202e\u2028\u{e0001}\r\nNOT ok: 0\nok: 9`
/** Everything but the end of a line and a tab. */
const UNSAFE = /[^\P{C}\n\t]|[\u2028\u2029]/u
const OF_OBJECTS = ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'valueOf']

void test('hostile keys and providers in etcd', async (t) => {
  const etcd = await Etcd.start()
  t.teardown(() => etcd.stop())
  const plain = Buffer.from('k8s\0')
  await etcd.put('/registry/namespaces/kube-system', plain)
  await etcd.put(`/registry/secrets/default/${EVIL}`, plain)
  await etcd.put(`/registry/${EVIL}/default/x`, plain)
  await etcd.put(`/registry/secrets/default/kms`, Buffer.from(`k8s:enc:kms:v1:${EVIL}:x`))
  await etcd.put(
    `/registry/secrets/default/cbc`,
    Buffer.from(`k8s:enc:aescbc:v1:${EVIL}:${'x'.repeat(32)}`),
  )
  await etcd.put(`/registry/secrets/default/odd`, Buffer.from(`k8s:enc:${EVIL}:v9:x`))
  for (const name of OF_OBJECTS) {
    await etcd.put(`/registry/${name}/x`, plain)
    await etcd.put(`/registry/${name}.example.com/${name}/x`, plain)
    await etcd.put(`/registry/secrets/default/${name}`, Buffer.from(`k8s:enc:${name}:${name}:x`))
  }
  const snapshot = await saveSnapshot(etcd)
  for (const source of [
    ['--endpoints', etcd.address],
    ['--snapshot', snapshot],
  ]) {
    const text = await run(['verify', ...source])
    t.equal(text.code, 1)
    t.notMatch(text.stdout + text.stderr, UNSAFE)
    t.notMatch(text.stdout, /^(?:NOT ok: 0|ok: 9)/m, 'no line of theirs')
    t.notMatch(text.stdout, /function|native code|\[object/)
    t.equal(text.stdout.split('\n').filter((line) => /^(?:NOT )?ok/.test(line)).length, 1)
    const json = await run(['verify', ...source, '--json'])
    t.notMatch(json.stdout + json.stderr, UNSAFE)
    const report = JSON.parse(json.stdout)
    const resources = new Map(
      report.resources.map((each: { resource: string; objects: number }) => [
        each.resource,
        each.objects,
      ]),
    )
    for (const name of OF_OBJECTS) {
      t.equal(resources.get(name), 1, name)
      t.equal(resources.get(`${name}.${name}.example.com`), 1, name)
    }
    t.equal(resources.get(EVIL), 1, 'the JSON has the name as it is')
  }
  const wrong = await run(['verify', '--endpoints', etcd.address, '--etcd-prefix', '/nowhere'])
  t.notMatch(wrong.stderr, UNSAFE)
})

void test('a hostile provider name in metrics and in etcd', async (t) => {
  const name = `tb${ESC}[2J\u202e\nno problems found`
  const cluster = await startCluster(t, {
    encryptionConfig: (socket) => encryptionConfig([kms(socket, { name }), identity]),
  })
  const { api, etcd, plugin, vault } = cluster
  await kmsProviders(api, 'ok')
  await api.createSecret('default', 'one', { v: '1' })
  const operator = await Operator.of({ apis: [api], plugins: [plugin], etcd })
  const env = { VAULT_TOKEN: vault.bao.rootToken }
  const config = ['--config', plugin.configFile]
  const secrets = ['--resources', 'secrets', '--configs-may-differ']
  for (const command of [
    ['status', ...config, '--configs-may-differ'],
    ['status', ...config, '--configs-may-differ', '--json'],
    ['rewrite', ...secrets, '--dry-run'],
    ['rewrite', ...secrets],
    ['rotate', ...config, ...secrets, '--finish'],
  ]) {
    const { code, stdout, stderr } = await operator.run(command, env)
    t.equal(code, 0, command.join(' ') + stdout + stderr)
    t.notMatch(stdout + stderr, UNSAFE, command.join(' '))
    const own = stdout.split('\n').filter((line) => line === 'no problems found').length
    t.ok(
      own <= (command.includes('--json') || command[0] !== 'status' ? 0 : 1),
      'no line of theirs',
    )
  }
})
