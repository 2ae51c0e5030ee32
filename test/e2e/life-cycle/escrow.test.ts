// The day when Vault is destroyed: an escrow, an etcd snapshot, and people with shares.
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generateIdentity, identityToRecipient } from 'age-encryption'
import { t, test } from 'tap'
import { stringify } from 'yaml'
import { run as runProgram } from '../../commands/program.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import { rotateKey } from '../../real/vault/transit-setup.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { saveSnapshot } from '../../verify/snapshot-of.ts'
import { runMain } from '../../verify/run-verify.ts'
import { startCluster } from '../cluster.ts'
import { encryptionConfig, identity, kms } from '../encryption-config.ts'
import { newKeyId } from '../observe.ts'

const { vault, etcd, plugin, api } = await startCluster(t, {
  kms: { localKeys: { enabled: true } },
  encryptionConfig: (socket) =>
    encryptionConfig([kms(socket), identity], ['secrets', 'configmaps']),
})
const folder = tempFolder('escrow')
const at = (name: string) => join(folder, name)
const config = at('config.yaml')
const { vault: section } = vault.configuration()
const document = { vault: section, transit: { key: KEY }, kms: { clusterId: 'test-cluster' } }
writeFileSync(config, stringify(document))
const ageIdentity = await generateIdentity()
const recipient = await identityToRecipient(ageIdentity)
writeFileSync(at('identity'), `# the security officer\n${ageIdentity}\n`)

const PASSWORD = 'the-password-that-is-never-printed'
const secrets = new Map<string, Record<string, string>>()
async function addSecret(name: string) {
  const data = {
    password: Buffer.from(PASSWORD).toString('base64'),
    bytes: randomBytes(300).toString('base64'),
  }
  const metadata = { name, labels: { app: 'shop' } }
  await api.api('POST', '/api/v1/namespaces/default/secrets', { metadata, type: 'Opaque', data })
  secrets.set(name, data)
}
for (let each = 0; each < 20; each += 1) await addSecret(`s${String(each)}`)
const { keyId } = await plugin.client.status()
await rotateKey(vault.bao, KEY)
await newKeyId(plugin, keyId)
await api.restart()
for (let each = 20; each < 40; each += 1) await addSecret(`s${String(each)}`)
const map = { metadata: { name: 'settings' }, data: { color: 'blue' } }
await api.api('POST', '/api/v1/namespaces/default/configmaps', map)
const snapshot = await saveSnapshot(etcd)

const live = ['--endpoints', etcd.address]
const escrow = at('escrow.json')
const shares = [1, 2, 3, 4, 5].map((number) => at(`escrow.json.share-${String(number)}`))
const share = (...numbers: number[]) =>
  numbers.flatMap((number) => ['--share', shares[number - 1] ?? ''])

/** Runs a command; whatever it prints, it is nothing secret. */
async function run(...args: string[]) {
  const outcome = await runMain('escrow', ...args)
  const printed = outcome.stdout + outcome.stderr
  const values = [PASSWORD, Buffer.from(PASSWORD).toString('base64'), ageIdentity]
  for (const file of shares.filter((each) => existsSync(each)))
    values.push((JSON.parse(readFileSync(file, 'utf8')) as { value: string }).value)
  for (const value of values) if (printed.includes(value)) throw new Error('a secret was printed')
  return outcome
}

let folders = 0
function open(...args: string[]) {
  folders += 1
  const out = at(`out-${String(folders)}`)
  const usual = (name: string, file: string) => (args.includes(name) ? [] : [name, file])
  const files = [...usual('--escrow', escrow), ...usual('--snapshot', snapshot)]
  return { out, outcome: run('open', ...files, '--out', out, '--yes', ...args) }
}

void test('create covers etcd and an etcd snapshot, through one request for each local key', async (t) => {
  const how = ['--config', config, '--split', '3/5', '--recipient', recipient, '--out', escrow]
  const outcome = await run('create', ...how, ...live, '--snapshot', snapshot)
  t.match(outcome, { code: 0, stderr: '' })
  t.match(outcome.stdout, /: (\d+) of \1 encrypted objects\n/)
  t.match(outcome.stdout, /audit log: escrow-[0-9a-f-]{36} \(transit-bridge audit --verify-run\)/)
  t.match(outcome.stdout, /opened by any 3 of 5 shares, or by one of 1 age recipients/)
  for (const file of [escrow, ...shares]) t.equal(statSync(file).mode & 0o777, 0o600)
  const { manifest } = JSON.parse(readFileSync(escrow, 'utf8')) as {
    manifest: { transit: unknown; localKeys: number; seeds: number }
  }
  t.match(manifest, { localKeys: 2, seeds: 0, transit: { key: KEY, versions: [1, 2] } })
  t.match(await run('create', ...how, ...live), { code: 2, stderr: /exists already/ })
})

void test('check proves the coverage without a key, and notices what is newer', async (t) => {
  const metrics = at('escrow.prom')
  const check = ['check', '--escrow', escrow]
  t.match(await run(...check, '--snapshot', snapshot), { code: 0, stdout: /\nok: / })
  t.match(await run(...check, ...live, '--prometheus-file', metrics), { code: 0 })
  t.match(readFileSync(metrics, 'utf8'), /^transit_bridge_escrow_covered_ratio 1$/m)
  const before = (await plugin.client.status()).keyId
  await rotateKey(vault.bao, KEY)
  await newKeyId(plugin, before)
  await api.restart()
  await api.createSecret('default', 'newer', { password: PASSWORD })
  const { code, stdout } = await run(...check, ...live, '--prometheus-file', metrics, '--json')
  t.equal(code, 1)
  t.match(JSON.parse(stdout), {
    ok: false,
    coverage: {
      uncovered: [
        { key: '/registry/secrets/default/newer', why: /its local key is not in the escrow/ },
      ],
    },
  })
  t.match(readFileSync(metrics, 'utf8'), /^transit_bridge_escrow_covered_ratio 0\.9/m)
})

void test('Vault is destroyed: three of five shares and an etcd snapshot are enough for every Secret', async (t) => {
  const newest = await saveSnapshot(etcd)
  await vault.stop()
  const ways = [share(1, 2, 3), share(5, 3, 1), ['--identity', at('identity')]]
  for (const way of ways) {
    const { out, outcome } = open(...way)
    t.match(await outcome, { code: 0, stdout: /\nok: / })
    t.equal(statSync(out).mode & 0o777, 0o700)
    const where = join(out, 'secrets/default')
    t.equal(readdirSync(where).length, secrets.size)
    for (const [name, data] of secrets) {
      const file = join(where, `${name}.json`)
      t.equal(statSync(file).mode & 0o777, 0o600)
      t.same(JSON.parse(readFileSync(file, 'utf8')), {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name, namespace: 'default', labels: { app: 'shop' } },
        type: 'Opaque',
        data,
      })
    }
    const settings = JSON.parse(readFileSync(join(out, 'configmaps/default/settings.json'), 'utf8'))
    t.match(settings, { kind: 'ConfigMap', data: { color: 'blue' } })
  }
  const built = at('by-the-built-program')
  const files = ['--escrow', escrow, '--snapshot', snapshot, '--out', built, '--yes']
  t.match(await runProgram(['escrow', 'open', ...files, ...share(2, 4, 5)]), {
    code: 0,
    stderr: '',
  })
  const manifest = readFileSync(join(built, 'secrets/default/s7.json'), 'utf8')
  const before = await api.api('GET', '/api/v1/namespaces/default/secrets/s7')
  await api.api('DELETE', '/api/v1/namespaces/default/secrets/s7')
  await api.api('POST', '/api/v1/namespaces/default/secrets', JSON.parse(manifest))
  const after = await api.api('GET', '/api/v1/namespaces/default/secrets/s7')
  t.match(after, { type: 'Opaque', metadata: { labels: { app: 'shop' } } })
  t.same(after.data, before.data, 'an API server accepts the manifest')
  const { outcome, out } = open(...share(1, 2, 3), '--snapshot', newest)
  t.match(await outcome, {
    code: 1,
    stdout: /\/registry\/secrets\/default\/newer: its local key is not in the escrow/,
  })
  t.equal(readdirSync(join(out, 'secrets/default')).length, secrets.size, 'the rest is written')
})

void test('open writes what an etcd snapshot without a checksum has, and says that objects may be missing', async (t) => {
  const bare = at('bare.db')
  // "etcdctl snapshot save" appends a SHA-256.
  writeFileSync(bare, readFileSync(snapshot).subarray(0, -32))
  const { outcome } = open(...share(1, 2, 3), '--snapshot', bare)
  t.match(await outcome, {
    code: 1,
    stdout:
      /\nNOT ok: every encrypted object that was found was .* written, but others may be missing; /,
  })
  t.match(await open(...share(1, 2, 3), '--snapshot', bare, '--skip-hash-check').outcome, {
    code: 0,
    stdout: /\nok: /,
  })
})

void test('missing, wrong or damaged shares open nothing and are named', async (t) => {
  const refused = async (args: string[], code: number, message: RegExp) => {
    const { out, outcome } = open(...args)
    t.match(await outcome, { code, stdout: '', stderr: message })
    t.notOk(existsSync(out), 'nothing is written')
  }
  const lines = /opens with 3 different shares of 5, and only 2 were passed/
  await refused(share(1, 2), 2, lines)
  await refused(share(1, 2, 2), 2, lines)
  await refused([], 2, /needs --share FILE for each share/)

  const damaged = at('damaged-share')
  const text = readFileSync(shares[2] ?? '', 'utf8')
  writeFileSync(
    damaged,
    text.replace(
      /"value": "./,
      (found) => `${found.slice(0, -1)}${found.endsWith('A') ? 'B' : 'A'}`,
    ),
  )
  await refused([...share(1, 2), '--share', damaged], 1, /its value is damaged/)
  writeFileSync(damaged, text.slice(0, -40))
  await refused([...share(1, 2), '--share', damaged], 1, /is not a share of an escrow/)
  writeFileSync(damaged, text.replace(/"escrow": "../, '"escrow": "zz'))
  await refused([...share(1, 2), '--share', damaged], 2, /is share 3 of another escrow/)

  writeFileSync(at('other-identity'), await generateIdentity())
  await refused(
    ['--identity', at('other-identity')],
    2,
    /no identity that this escrow was encrypted to/,
  )
  await refused(['--identity', shares[0] ?? ''], 2, /is not a file of age identities/)

  const bytes = readFileSync(escrow, 'utf8')
  const changes = [
    bytes.replace('"uncovered": 0', '"uncovered": 1'),
    bytes.replace(
      /"sealed": "(.{50})./,
      (_all, start: string) => `"sealed": "${start}${_all.endsWith('A') ? 'B' : 'A'}`,
    ),
  ]
  for (const changed of changes) {
    writeFileSync(at('changed.json'), changed)
    await refused([...share(1, 2, 3), '--escrow', at('changed.json')], 1, /damaged or changed/)
  }
  writeFileSync(at('changed.json'), bytes.slice(0, -100))
  await refused([...share(1, 2, 3), '--escrow', at('changed.json')], 1, /is not an escrow/)
  const metrics = at('damaged.prom')
  writeFileSync(metrics, 'transit_bridge_escrow_covered_ratio 1\n')
  const check = ['check', ...live, '--prometheus-file', metrics]
  t.match(await run(...check, '--escrow', at('changed.json')), { code: 1, stdout: '' })
  t.match(readFileSync(metrics, 'utf8'), /^transit_bridge_escrow_covered_ratio 0$/m)
  t.match(readFileSync(metrics, 'utf8'), /^transit_bridge_escrow_checked_timestamp_seconds \d+$/m)
  writeFileSync(metrics, 'transit_bridge_escrow_covered_ratio 1\n')
  t.match(await run(...check, '--escrow', at('gone.json')), { code: 2, stdout: '' })
  t.match(readFileSync(metrics, 'utf8'), /^transit_bridge_escrow_covered_ratio 0$/m)

  writeFileSync(at('cut.db'), readFileSync(snapshot).subarray(0, 40_000))
  const cut = open(...share(1, 2, 3), '--snapshot', at('cut.db'))
  t.match(await cut.outcome, { code: 1, stdout: '' })

  chmodSync(folder, 0o755)
  await t.resolves(refusesFullFolder())
})

async function refusesFullFolder() {
  const outcome = await run(
    'open',
    '--escrow',
    escrow,
    ...share(1, 2, 3),
    '--snapshot',
    snapshot,
    '--out',
    folder,
    '--yes',
  )
  if (outcome.code !== 2 || !/is not empty/.test(outcome.stderr)) throw new Error(outcome.stderr)
  if ((statSync(folder).mode & 0o777) !== 0o755) throw new Error('its mode was changed')
}

void test('it asks before it writes', async (t) => {
  const args = ['--escrow', escrow, ...share(1, 2, 3), '--snapshot', snapshot, '--out', at('asked')]
  t.match(await run('open', ...args), {
    code: 2,
    stderr: /is not a terminal, so you cannot be asked; confirm it with --yes/,
  })
  t.notOk(existsSync(at('asked')))
})
