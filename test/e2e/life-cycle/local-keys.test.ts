// The life cycle of a cluster whose data is mixed: encrypted by Transit, with local keys of two nodes, and under KMS v1.
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateIdentity, identityToRecipient } from 'age-encryption'
import { test } from 'tap'

import { run } from '../../commands/program.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { eventually } from '../../real/host/eventually.ts'
import { outcomeOf } from '../../behavior/fixture.ts'
import type { Plugin } from '../../real/program/plugin.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import { rotateKey } from '../../real/vault/transit-setup.ts'
import { kmsV1Value, kmsV2Value, sealByKey, sealBySeed } from '../../verify/envelopes.ts'
import { saveSnapshot } from '../../verify/snapshot-of.ts'
import { pluginConfiguration, startCluster, startPlugin } from '../cluster.ts'
import { Operator } from '../command.ts'
import { encryptionConfig, identity, kms } from '../encryption-config.ts'
import { newKeyId, noticed } from '../observe.ts'
import { parseStored, SECRETS } from '../stored.ts'

const V1_PROVIDER = { name: 'transit-bridge-v1', apiVersion: 'v1' } as const
const LOCAL_KEY = 'local-key.transit-bridge.internal'
const LOCAL_KEYS = { v1beta1: true, localKeys: { enabled: true } }

function renderSecret(name: string): string {
  return JSON.stringify({
    kind: 'Secret',
    apiVersion: 'v1',
    metadata: { name, namespace: 'default', uid: crypto.randomUUID() },
    data: { value: Buffer.from(name).toString('base64') },
    type: 'Opaque',
  })
}

const keyOf = (name: string) => `${SECRETS}default/${name}`

/** As an API server beside this plugin stores a Secret. */
async function renderV2(plugin: Plugin, name: string): Promise<Buffer> {
  const seed = randomBytes(32)
  const { ciphertext, keyId, annotations } = await plugin.client.encrypt(seed)
  const data = sealBySeed(seed, keyOf(name), renderSecret(name))
  return kmsV2Value({ keyId, source: ciphertext, annotations, data })
}

async function renderV1(plugin: Plugin, name: string): Promise<Buffer> {
  const dek = randomBytes(32)
  const source = await plugin.client.encryptV1(dek)
  return kmsV1Value(V1_PROVIDER.name, source, sealByKey(dek, keyOf(name), renderSecret(name)))
}

void test('versions are counted through both layers, from the first local key to the last', async (t) => {
  const cluster = await startCluster(t, {
    audit: true,
    kms: { v1beta1: true },
    encryptionConfig: (socket) =>
      encryptionConfig([kms(socket), kms(socket, V1_PROVIDER), identity]),
    api: { extraArgs: ['--feature-gates=KMSv1=true'] },
  })
  const { api, plugin, vault, proxy, etcd } = cluster
  const operator = await Operator.of({ apis: [api], plugins: [plugin], etcd })
  const env = { VAULT_TOKEN: vault.bao.rootToken }
  const logs: string[] = []
  const restart = async (kmsSection: object) => {
    plugin.configure(pluginConfiguration(vault, proxy, { ...kmsSection }))
    await plugin.program.terminate()
    logs.push(plugin.program.output())
    await plugin.restart()
    await plugin.waitForHealth('ok')
  }
  const verify = async (file?: string) => {
    const where = file === undefined ? ['--endpoints', etcd.address] : ['--snapshot', file]
    const command = ['verify', ...where, '--deep', '--objects', '--config', plugin.configFile]
    const { stdout, stderr } = await run([...command, '--json'])
    if (stdout === '') throw new Error(stderr)
    return JSON.parse(stdout) as VerifyReport
  }
  const secretsUnderLocalKeys = async () => {
    const values = await etcd.range(SECRETS)
    return values.filter(({ value }) => {
      const stored = parseStored(value)
      return stored.format === 'v2' && LOCAL_KEY in stored.annotations
    }).length
  }

  const ageIdentity = await generateIdentity()
  const recipient = await identityToRecipient(ageIdentity)
  const identityFile = join(tempFolder('identity'), 'identity')
  writeFileSync(identityFile, `${ageIdentity}\n`)
  const names = (kind: string, count: number) =>
    Array.from({ length: count }, (_none, at) => `${kind}-${String(at)}`)
  const all = [
    ...names('direct', 6),
    ...names('v1', 3),
    ...names('local', 5),
    ...names('other-node', 4),
  ]
  for (const name of names('direct', 6)) await api.createSecret('default', name, { value: name })
  for (const name of names('v1', 3)) await etcd.put(keyOf(name), await renderV1(plugin, name))
  const { keyId } = await plugin.client.status()
  await rotateKey(vault.bao, KEY)
  await noticed(api, await newKeyId(plugin, keyId))
  await restart(LOCAL_KEYS)
  // An API server makes a new seed when it starts.
  await api.restart()
  for (const name of names('local', 5)) await api.createSecret('default', name, { value: name })
  const otherNode = await startPlugin(t, vault, proxy, LOCAL_KEYS)
  for (const name of names('other-node', 4))
    await etcd.put(keyOf(name), await renderV2(otherNode, name))
  t.equal(await secretsUnderLocalKeys(), 9)
  const readAll = async () => {
    const { items } = await api.api('GET', '/api/v1/namespaces/default/secrets')
    const found = (items as { metadata: { name: string }; data: { value: string } }[]).map(
      ({ metadata, data }) => [metadata.name, Buffer.from(data.value, 'base64').toString()],
    )
    t.same(Object.fromEntries(found), Object.fromEntries(all.map((name) => [name, name])))
  }
  await readAll()

  await t.test('verify, status and drill name the versions that data needs', async (t) => {
    const report = await verify()
    t.match(report, { ok: true, unreadable: 0, unproven: 0 })
    t.same(versionsOf(report), {
      'kms v1 transit-bridge-v1 1': 3,
      'kms v2 transit-bridge 1': 6,
      'kms v2 transit-bridge 2': 9,
    })
    const status = await operator.run(
      ['status', '--config', plugin.configFile, '--configs-may-differ'],
      env,
    )
    t.match(status.stdout, /6 \(\d+ %\) by kms v2 transit-bridge, version 1/, status.stderr)
    t.match(status.stdout, /9 \(\d+ %\) by kms v2 transit-bridge, version 2/)
    const file = await saveSnapshot(etcd)
    t.same(versionsOf(await verify(file)), versionsOf(report))
    const drill = await run(['drill', 'backup', file, '--config', plugin.configFile])
    t.equal(drill.code, 0, drill.stdout + drill.stderr)
    t.match(drill.stdout, 'kms v2 transit-bridge: 1, 2')
    t.match(drill.stdout, 'this Vault can decrypt all of it')
  })
  const backup = await saveSnapshot(etcd)
  const escrows = tempFolder('mixed-escrow')
  const escrow = (command: string, name: string, ...more: string[]) =>
    run([
      'escrow',
      command,
      command === 'create' ? '--out' : '--escrow',
      join(escrows, name),
      ...more,
    ])
  const create = (name: string, ...more: string[]) =>
    escrow('create', name, '--config', plugin.configFile, '--recipient', recipient, ...more)
  const check = (name: string) => escrow('check', name, '--endpoints', etcd.address)

  await t.test(
    'an escrow covers local keys alone, or all DEK seeds on request, and says so',
    async (t) => {
      const some = await create('some.json', '--endpoints', etcd.address)
      t.match(some, { code: 1, stdout: /: 9 of 18 encrypted objects\n/ })
      t.match(some.stdout, /some\.json: 2 local keys and 0 DEK seeds/)
      t.match(some.stdout, /NOT ok/)
      t.match(await check('some.json'), {
        code: 1,
        stdout: /secrets\/default\/direct-0: Transit encr/,
      })
      const seeds = await create('seeds.json', '--include-seeds', '--snapshot', backup)
      t.match(seeds, { code: 0, stdout: /: 18 of 18 encrypted objects\n[^]*\nok: / }, seeds.stderr)
      t.match(await check('seeds.json'), { code: 0, stdout: /\nok: / })
      for (const [name, count] of [
        ['seeds.json', 18],
        ['some.json', 9],
      ] as const) {
        const out = join(escrows, `out-${name}`)
        const files = ['--identity', identityFile, '--snapshot', backup, '--out', out, '--yes']
        t.match(await escrow('open', name, ...files), { code: count === 18 ? 0 : 1 })
        const found = readdirSync(join(out, 'secrets/default'))
        t.same(
          found.toSorted(),
          all
            .slice(-count)
            .map((each) => `${each}.json`)
            .toSorted(),
        )
      }
    },
  )

  await t.test('rewrite replaces what is stale; local keys make nothing stale', async (t) => {
    const { code, stdout, stderr } = await operator.run([
      'rewrite',
      '--resources',
      'secrets',
      '--configs-may-differ',
    ])
    t.equal(code, 0, stdout + stderr)
    t.same(versionsOf(await verify()), { 'kms v2 transit-bridge 2': all.length })
    t.equal(await secretsUnderLocalKeys(), all.length)
    await readAll()
    t.match(await create('local.json', '--endpoints', etcd.address), { code: 0 })
  })

  const rotate = [
    'rotate',
    '--config',
    plugin.configFile,
    '--resources',
    'secrets',
    '--configs-may-differ',
    '--only-cluster',
    '--yes-raise-min-decryption-version',
    '3',
  ]
  await t.test('after local keys are disabled, a rotation ends the last one', async (t) => {
    await restart({ v1beta1: true })
    await operator.run(['rewrite', '--resources', 'secrets', '--configs-may-differ'])
    t.equal(await secretsUnderLocalKeys(), all.length, 'a rewrite alone changes nothing')
    const old = await otherNode.client.encrypt(randomBytes(32))
    const { code, stdout, stderr } = await operator.run(rotate, env)
    t.equal(code, 0, stdout + stderr)
    t.equal(await secretsUnderLocalKeys(), 0)
    t.match(await check('local.json'), { code: 1, stdout: /: 0 of 18 encrypted objects\n/ })
    const none = await create('none.json', '--endpoints', etcd.address)
    t.match(none, { code: 1, stderr: /no object can be covered, so no escrow was written/ })
    t.same(versionsOf(await verify()), { 'kms v2 transit-bridge 3': all.length })
    await readAll()
    t.match(stdout + stderr, 'min_decryption_version is 3')
    await eventually('the raise to reach the local keys of the other node', async () => {
      const { code: outcome, message } = await outcomeOf(otherNode.client.decrypt(old))
      if (outcome === 'FAILED_PRECONDITION') return true
      throw new Error(`${outcome}: ${message}`)
    })
    const drill = await run(['drill', 'backup', backup, '--config', plugin.configFile])
    t.equal(drill.code, 1)
    t.match(drill.stdout, 'kms v2 transit-bridge: 1, 2')
  })

  await t.test('audit finds the caller of each use', async (t) => {
    logs.push(plugin.program.output())
    const folder = t.testdir()
    const files = [...logs, otherNode.program.output()].map((text, at) => {
      const file = join(folder, `node-${String(at)}.log`)
      writeFileSync(file, text)
      return file
    })
    const audit = join(folder, 'audit.log')
    writeFileSync(audit, readFileSync(join(vault.bao.dir, 'audit.log')))
    const { stdout, stderr } = await run(['audit', audit, ...files, '--key', KEY])
    t.match(stdout, /decrypt by node-3\.log's own check: \d/, stderr)
    t.match(stdout, /encrypt by node-3\.log's own check: \d/)
    t.notMatch(stdout, /^missing/m)
    const suspicious = stdout.split('\n').filter((line) => line.startsWith('suspicious: '))
    // KMS v1 has no uid, and its health probe decrypts: alone, or in one request with calls of KMS v2, which has more values than uids.
    const explained =
      /decrypt .*: (it has no uid|it has more values than uids|it claims to be a run of (verify|escrow create))/
    t.same(
      suspicious.filter((line) => !explained.test(line)),
      [],
    )
  })
})

interface VerifyReport {
  readonly resources: readonly {
    readonly resource: string
    readonly groups: readonly { provider: string; keyVersion?: number; objects: number }[]
  }[]
}

/** Objects by provider and key version. */
function versionsOf(report: VerifyReport): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { groups } of report.resources)
    for (const { provider, keyVersion, objects } of groups)
      if (keyVersion !== undefined) counts[`${provider} ${String(keyVersion)}`] = objects
  return counts
}
