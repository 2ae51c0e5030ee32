// `transit-bridge rotate` on a real cluster of two API servers with a plugin each: to the end, no matter what happens in the meantime.
import { readdirSync } from 'node:fs'
import { test } from 'tap'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import { rotateKey } from '../../real/vault/transit-setup.ts'
import { forEachOf } from '../command.ts'
import { parseStored, SECRETS } from '../stored.ts'
import { startTwoServers, type TwoServers } from '../two-servers.ts'
import { readAll, Writers } from './writers.ts'

const COUNT = 1100
const STEPS = ['check', 'rotate', 'wait', 'rewrite', 'verify', 'needed', 'raise']

async function latestVersion({ cluster }: TwoServers): Promise<number> {
  const { data } = await cluster.vault.bao.api('GET', `transit/keys/${KEY}`)
  return Number(data.latest_version)
}

async function storedVersions({ cluster }: TwoServers): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { value } of await cluster.etcd.range(SECRETS)) {
    const stored = parseStored(value)
    const version =
      stored.format === 'v2' ? (/^vault:v\d+/.exec(stored.source)?.[0] ?? '?') : stored.format
    counts[version] = (counts[version] ?? 0) + 1
  }
  return counts
}

void test('three versions, killed at every step, with a lagging plugin, a server and Vault down: nothing is lost', async (t) => {
  const fixture = await startTwoServers(t)
  const { cluster, apis, plugins, operator, secondProxy } = fixture
  const { bao } = cluster.vault
  const [plugin] = plugins
  const [, second] = apis
  if (plugin === undefined || second === undefined) throw new Error('there are two of each')
  const names = Array.from({ length: COUNT }, (_none, index) => `secret-${String(index)}`)
  const expected = new Map(names.map((name) => [name, name]))
  await forEachOf(COUNT, (index) =>
    cluster.api.createSecret('default', `secret-${String(index)}`, {
      value: `secret-${String(index)}`,
    }),
  )
  const env = { VAULT_TOKEN: bao.rootToken }
  const command = [
    'rotate',
    '--config',
    plugin.configFile,
    '--resources',
    'secrets',
    '--configs-may-differ',
    '--rate',
    '700',
  ]

  await t.test('--plan shows the steps and changes nothing', async (t) => {
    const { code, stdout, stderr } = await operator.run([...command, '--plan'], env)
    t.equal(code, 0, stderr)
    for (const step of STEPS) t.match(stdout, step)
    t.equal(await latestVersion(fixture), 1)
  })

  await t.test(
    'the plugin has no right to rotate: its token is refused before any change',
    async (t) => {
      const { code, stderr } = await operator.run(command, {
        VAULT_TOKEN: await cluster.vault.login(),
      })
      t.equal(code, 1)
      t.match(stderr, 'the operator token lacks')
      t.equal(await latestVersion(fixture), 1)
    },
  )

  await t.test('to version 2, killed at the beginning of every step', async (t) => {
    const state = tempFolder('rotation')
    const recorded = [...command, '--state', state]
    let isComplete = false
    for (const step of STEPS) {
      const program = operator.start(recorded, env)
      await program.waitUntil(`step ${step}`, () => program.output().includes(`, ${step}: `), {
        timeoutMs: 90_000,
        intervalMs: 5,
      })
      await program.kill()
      // The last steps take little time: a run can remove its state before it is killed. The rotation is complete then,
      // and the same command would begin another one.
      isComplete = step !== 'check' && !readdirSync(state).some((name) => name.endsWith('.json'))
      if (isComplete) break
    }
    const { code, stdout, stderr } = await operator.run(
      isComplete ? [...recorded, '--finish'] : recorded,
      env,
    )
    t.equal(code, 0, stdout + stderr)
    t.match(stdout, 'etcd needs version 2 and newer')
    t.equal(await latestVersion(fixture), 2, 'rotated once')
    t.same(await storedVersions(fixture), { 'vault:v2': COUNT })
    t.same(await readAll(second), expected)
  })

  await t.test(
    'to version 3 while others write, with a lagging plugin, a server and Vault down',
    async (t) => {
      const writers = new Writers([cluster.api])
      writers.start(names.slice(0, 300))
      await secondProxy.refuse()
      const raise = ['--only-cluster', '--yes-raise-min-decryption-version', '3']
      const program = operator.start([...command, ...raise], env)
      await program.waitForLine(/waiting: .*does not announce key/, { timeoutMs: 60_000 })
      await second.kill()
      await program.waitForLine(/waiting: .*refuses the connection/, {
        timeoutMs: 60_000,
      })
      await second.restart({ waitReady: false })
      await secondProxy.pass()
      await program.waitForLine(/, rewrite: /, { timeoutMs: 120_000 })
      await cluster.proxy.refuse()
      await program.waitForLine(/waiting for Vault: /, { timeoutMs: 60_000 })
      await cluster.proxy.pass()
      const { code } = await program.ended()
      t.equal(code, 0, program.output())
      await writers.stop()
      for (const [name, value] of writers.expected) expected.set(name, value)
      t.same(await readAll(second), expected)
      t.same(Object.keys(await storedVersions(fixture)), ['vault:v3'])
      const { data } = await bao.api('GET', `transit/keys/${KEY}`)
      t.equal(data.min_decryption_version, 3)
    },
  )

  await t.test(
    'a rotation that another client made is completed, and no other is started',
    async (t) => {
      await rotateKey(bao, KEY)
      const { code, stdout, stderr } = await operator.run(command, env)
      t.equal(code, 0, stdout + stderr)
      t.match(stderr, 'the key already has the new version 4; completing that rotation')
      t.equal(await latestVersion(fixture), 4)
      t.same(Object.keys(await storedVersions(fixture)), ['vault:v4'])
      const greedy = await operator.run(
        [...command, '--finish', '--only-cluster', '--yes-raise-min-decryption-version', '5'],
        env,
      )
      t.equal(greedy.code, 1)
      t.match(
        greedy.stderr,
        'etcd still needs version 4, and its data would become unreadable; nothing was raised',
      )
    },
  )
})
