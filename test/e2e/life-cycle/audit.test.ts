// `transit-bridge audit` of what a real OpenBao and real plugins wrote.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { buildProgram, run } from '../../commands/program.ts'
import { OpenBao } from '../../real/vault/openbao.ts'
import { KEY, KmsVault } from '../../real/vault/kms-vault.ts'
import { Plugin } from '../../real/program/plugin.ts'

void test('uses of the key by two plugins are distinguished, and a decrypt by hand is suspicious', async (t) => {
  buildProgram()
  const vault = await KmsVault.start()
  t.teardown(() => vault.stop())
  const folder = t.testdir()
  const plugins = await Promise.all([0, 1].map(() => Plugin.start(vault.configuration())))
  for (const plugin of plugins) {
    await plugin.waitForHealth('ok')
    const seed = Buffer.from('0123456789abcdef0123456789abcdef')
    const wrapped = await plugin.client.encrypt(seed)
    const reading = Array.from({ length: 20 }, () => plugin.client.decrypt(wrapped))
    for (const plain of await Promise.all(reading)) t.same(plain, seed)
    // A call is answered a moment before its log line is written.
    await plugin.program.waitUntil(
      'the lines of 20 Decrypts',
      () => plugin.logLines().filter(({ method }) => method === 'Decrypt').length === 20,
    )
  }
  const files = [join(vault.bao.dir, 'audit.log')]
  for (const [index, plugin] of plugins.entries()) {
    const file = join(folder, `node-${String(index)}.log`)
    // As in a container's log.
    const lines = plugin.program.output().split('\n')
    writeFileSync(file, lines.map((line) => `2026-11-25T00:00:00Z stdout F ${line}`).join('\n'))
    files.push(file)
  }
  const quiet = await run(['audit', ...files, '--key', KEY])
  t.equal(quiet.code, 0, quiet.stdout + quiet.stderr)
  for (const node of ['node-0.log', 'node-1.log']) {
    t.match(quiet.stdout, `transit/${KEY} encrypt by ${node}: 1,`)
    t.match(quiet.stdout, `transit/${KEY} decrypt by ${node}: `)
  }
  t.match(quiet.stdout, 'a plugin asked for every use that returns something secret')

  const [all = '', ...logs] = files
  const entries = readFileSync(all, 'utf8').split('\n')
  const rest = join(folder, 'audit.log.1')
  const isDecrypt = (line: string) => line.includes('"request"') && line.includes(`decrypt/${KEY}`)
  writeFileSync(rest, entries.slice(entries.findLastIndex(isDecrypt)).join('\n'))
  const forgotten = await run(['audit', rest, ...logs, '--key', KEY])
  t.equal(forgotten.code, 1)
  t.match(
    forgotten.stdout,
    /^missing: \d+ calls? that Vault answered (has|have) no entry, from 20/m,
  )
  t.match(forgotten.stdout, 'NOT ok: an audit file is missing')

  const { data } = await vault.bao.api('POST', `transit/encrypt/${KEY}`, {
    plaintext: 'c2VjcmV0',
  })
  await vault.bao.api('POST', `transit/decrypt/${KEY}`, { ciphertext: data.ciphertext })
  const found = await run(['audit', ...files.toReversed()])
  t.equal(found.code, 1)
  t.match(
    found.stdout,
    /suspicious: .* decrypt transit\/k8s-etcd by root from 127\.0\.0\.1 \(unknown caller: it has no uid\): ok/,
  )
  t.match(found.stdout, '1 suspicious')

  const json = await run(['audit', ...files, '--events', '--json'])
  const lines = json.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  t.match(lines.at(-1), { ok: false, suspicious: [{ action: 'decrypt', identity: 'root' }] })
  t.ok(
    lines.some(
      (line) => JSON.stringify(line['origin']) === '{"kind":"plugin","node":"node-1.log"}',
    ),
  )

  const alone = await run(['audit', files[0] ?? ''])
  t.equal(alone.code, 1)
  t.match(alone.stdout, 'no file contains calls of a plugin')
  for (const secret of [vault.bao.rootToken, readFileSync(vault.tokenFile, 'utf8')])
    t.notMatch(found.stdout + json.stdout, secret)
  await Promise.all(plugins.map((plugin) => plugin.stop()))
})

void test('the decrypt that verifies a new local key is not suspicious, also if an Encrypt caused it', async (t) => {
  const vault = await KmsVault.start()
  t.teardown(() => vault.stop())
  const kms = { refreshInterval: '5m', localKeys: { enabled: true, maxUses: 1 } }
  const plugin = await Plugin.start({ ...vault.configuration(), kms })
  await plugin.waitForHealth('ok')
  const seed = Buffer.from('0123456789abcdef0123456789abcdef')
  for (let count = 0; count < 2; count += 1) await plugin.client.encrypt(seed)
  await plugin.program.waitUntil(
    'a second local key',
    () => plugin.logLines().filter(({ msg }) => msg === 'created a new local key').length === 2,
  )
  await plugin.stop()
  const files = [join(vault.bao.dir, 'audit.log'), plugin.program.outputFile]
  const { code, stdout } = await run(['audit', ...files, '--key', KEY])
  t.equal(code, 0, stdout)
})

void test('each use of a key in a namespace is found, no matter what its mount is called', async (t) => {
  const bao = await OpenBao.start({ audit: true })
  t.teardown(() => bao.stop())
  const inTeam = { headers: { 'x-vault-namespace': 'team' } }
  await bao.api('POST', 'sys/namespaces/team', {})
  // These words are also operations of Transit.
  const mount = 'keys/decrypt'
  await bao.api('POST', `sys/mounts/${mount}`, { type: 'transit' }, inTeam)
  await bao.api('POST', `${mount}/keys/${KEY}`, {}, inTeam)
  const plaintext = 'c2VjcmV0'
  const { data } = await bao.api('POST', `${mount}/encrypt/${KEY}`, { plaintext }, inTeam)
  await bao.api('POST', `${mount}/decrypt/${KEY}`, { ciphertext: data.ciphertext }, inTeam)
  const file = join(bao.dir, 'audit.log')
  const found = await run(['audit', file, '--key', KEY])
  t.equal(found.code, 1, found.stderr)
  t.match(found.stdout, `decrypt team/${mount}/${KEY} by root`)
  t.match(found.stdout, '1 suspicious')

  await bao.api('DELETE', 'sys/audit/file')
  const removed = await run(['audit', file, '--key', KEY])
  t.match(removed.stdout, /line \d+: removes an audit device \(sys\/audit\)/)
})

void test('invalid input is reported in one line', async (t) => {
  const file = join(t.testdir({ 'a.txt': 'nothing\n{"half": ' }), 'a.txt')
  for (const [args, message] of [
    [['audit'], 'audit: needs FILE; see audit --help'],
    [['audit', '/nowhere'], '/nowhere: cannot be read: there is no such file'],
    [['audit', file], /a.txt: line 2 is incomplete: .*no line is an entry about a Transit key/],
  ] as const) {
    const { code, stdout, stderr } = await run(args)
    t.equal(code, 2)
    t.equal(stdout, '')
    t.match(stderr, message)
    t.equal(stderr.trim().split('\n').length, 1)
  }
})
