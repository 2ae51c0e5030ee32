import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { BridgeError } from '../../../src/errors.ts'
import { MAX_KEYS } from '../../../src/kms/local/ring.ts'
import { formatSealedFile } from '../../../src/kms/local/sealed-format.ts'
import { readMoment } from '../../../src/time/boot-time.ts'
import { eventually } from '../../real/host/eventually.ts'
import { serviceFixture } from '../service-fixture.ts'
import { HOUR, Node, outageAfterRun, OWNER, seed, warnings, works } from './node.ts'
import { readSealedFile } from './read-sealed-file.ts'

void test('a plugin that starts without Vault is healthy, encrypts and decrypts', async (t) => {
  const { node, envelope, keyId } = await outageAfterRun(t)
  const plugin = await node.start()
  t.same(plugin.service.status(), { healthz: 'ok', keyId })
  t.same(await plugin.service.decrypt(envelope, plugin.within()), seed)
  t.ok(await works(plugin))
  t.ok(plugin.localKeys?.offlineLeftMs)
  t.match(plugin.health.failure, { code: 'VAULT_UNREACHABLE' })
  await plugin.stop()
  const again = await node.start()
  t.ok(await works(again), 'and after any number of starts')
})

void test('the file holds the local keys of other nodes, too', async (t) => {
  const node = new Node(t)
  const other = await serviceFixture({ transit: node.transit, localKeys: { enabled: true } })
  const foreign = await other.service.encrypt(seed, other.within())
  const first = await node.start()
  await first.service.decrypt(foreign, first.within())
  await first.stop()
  node.stopVault()
  const second = await node.start()
  t.same(await second.service.decrypt(foreign, second.within()), seed)
})

void test('the file holds only as many local keys as a start can keep: those used last, and its own', async (t) => {
  const node = new Node(t)
  const plugin = await node.start()
  await plugin.service.encrypt(seed, plugin.within())
  const { keyId } = plugin.service.status()
  const ciphertexts = Array.from({ length: MAX_KEYS }, (_, index) => `vault:v1:${String(index)}`)
  const note = { keyId, clusterId: OWNER.clusterId }
  for (const ciphertext of ciphertexts) plugin.ring.add({ ...note, ciphertext }, randomBytes(32))
  await plugin.stop()
  const { localKeys } = readSealedFile(node, OWNER)
  t.equal(localKeys.length, MAX_KEYS)
  t.equal(localKeys.filter(({ isOwn }) => isOwn).length, 1)
  const foreign = localKeys.filter(({ isOwn }) => !isOwn).map(({ ciphertext }) => ciphertext)
  t.same(foreign, ciphertexts.slice(1))
})

void test('when Vault answers, the plugin creates a new local key and reads the same data', async (t) => {
  const { node, envelope } = await outageAfterRun(t)
  const plugin = await node.start()
  const wrapped = (each: typeof envelope) => each.annotations['local-key.transit-bridge.internal']
  t.same(wrapped(await plugin.service.encrypt(seed, plugin.within())), wrapped(envelope))
  node.startVault()
  await plugin.clock.advance(10_000)
  t.equal(plugin.health.failure, undefined)
  t.notSame(wrapped(await plugin.service.encrypt(seed, plugin.within())), wrapped(envelope))
  t.same(await plugin.service.decrypt(envelope, plugin.within()), seed)
})

void test('the file is written soon after a change, and while nothing changes within five minutes', async (t) => {
  const node = new Node(t)
  const plugin = await node.start({ localKeys: { offlineForMs: 72 * HOUR } })
  await eventually('the first write', () => plugin.sealedFileWrites > 0)
  const { mode } = statSync(node.sealedFile)
  t.equal(mode & 0o777, 0o600)
  const before = plugin.sealedFileWrites
  await plugin.clock.advance(2 * HOUR)
  await eventually('another write', () => plugin.sealedFileWrites > before)
})

/** What a file on a disk may become, and what the log says of it. */
const DAMAGE: readonly (readonly [string, (node: Node) => void, RegExp])[] = [
  [
    'cut',
    ({ sealedFile }) => writeFileSync(sealedFile, readFileSync(sealedFile).subarray(0, -1)),
    /is damaged/,
  ],
  ['empty', ({ sealedFile }) => writeFileSync(sealedFile, ''), /is not a sealed file/],
  [
    'of something else',
    ({ sealedFile }) => writeFileSync(sealedFile, 'x'.repeat(500)),
    /is not a sealed file/,
  ],
  [
    'with a flipped bit',
    ({ sealedFile }) => {
      const bytes = readFileSync(sealedFile)
      const at = bytes.length - 40
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
      writeFileSync(sealedFile, bytes)
    },
    /is damaged/,
  ],
  [
    'with a changed header',
    ({ sealedFile }) => {
      const text = readFileSync(sealedFile).toString('latin1')
      writeFileSync(
        sealedFile,
        text.replace('"cluster":"prod"', '"cluster":"p\\u0072od"'),
        'latin1',
      )
    },
    /is damaged/,
  ],
  [
    'whose key lacks its latest version',
    (node) => {
      const state = readSealedFile(node, OWNER)
      const key = { ...state.key, versions: new Map() }
      const nodeKey = readFileSync(node.nodeKeyFile)
      writeFileSync(node.sealedFile, formatSealedFile({ ...state, key }, OWNER, nodeKey))
    },
    /is damaged/,
  ],
  [
    'larger than any',
    ({ sealedFile }) => writeFileSync(sealedFile, Buffer.alloc(9 * 1024 * 1024)),
    /more than/,
  ],
  [
    'replaced by an empty folder',
    ({ sealedFile }) => {
      rmSync(sealedFile)
      mkdirSync(sealedFile)
    },
    /is not a regular file/,
  ],
  [
    'sealed with another node key',
    ({ nodeKeyFile }) => writeFileSync(nodeKeyFile, randomBytes(32)),
    /local-keys was sealed with another node key: .*; it is ignored, and replaced when Vault answers; to keep it, restore the former node key and restart the plugin before Vault answers$/,
  ],
  [
    'without its node key',
    ({ nodeKeyFile }) => rmSync(nodeKeyFile),
    /the node key \S+node-key is missing, so the sealed file is not used and a start needs Vault; start its unit \(transit-bridge-node-key\.service\), then restart the plugin$/,
  ],
  [
    'with a folder in place of its node key',
    ({ nodeKeyFile }) => {
      rmSync(nodeKeyFile)
      mkdirSync(nodeKeyFile)
    },
    /the node key \S+node-key is not a regular file, so the sealed file is not used and a start needs Vault; correct this, then restart the plugin$/,
  ],
  [
    'with a node key of another length',
    ({ nodeKeyFile }) => writeFileSync(nodeKeyFile, randomBytes(31)),
    /the node key \S+node-key has 31 bytes instead of 32, so the sealed file is not used and a start needs Vault; replace it with transit-bridge setup node-key --replace, then restart the plugin$/,
  ],
]

for (const [what, damage, words] of DAMAGE) {
  void test(`a file ${what} is named and ignored, and replaced when Vault answers`, async (t) => {
    const { node, envelope } = await outageAfterRun(t)
    damage(node)
    const plugin = await node.start()
    t.match(warnings(plugin)[0], words)
    t.match(warnings(plugin)[0], /^kms\.localKeys\.sealedFile: (?!kms\.)/)
    t.match(plugin.localKeys?.fileFault, words)
    t.match(plugin.service.status(), { healthz: /scripted outage/, keyId: '' })
    await t.rejects(plugin.service.decrypt(envelope, plugin.within()), {
      code: 'VAULT_UNREACHABLE',
    })
    node.startVault()
    rmSync(node.nodeKeyFile, { recursive: true, force: true })
    writeFileSync(node.nodeKeyFile, randomBytes(32))
    await plugin.clock.advance(20_000)
    t.same(await plugin.service.decrypt(envelope, plugin.within()), seed)
    await plugin.stop()
    t.equal(plugin.localKeys?.fileFault, undefined)
    node.stopVault()
    t.ok(await works(await node.start()))
  })
}

void test('a file of another cluster, or of another key, is named and ignored', async (t) => {
  const { node } = await outageAfterRun(t)
  const plugin = await node.start({ clusterId: 'other' })
  t.match(
    warnings(plugin)[0],
    /belongs to key "transit\/k8s-etcd" of cluster "prod", not to key "transit\/k8s-etcd" of cluster "other"/,
  )
})

void test('a file that is too old is named and ignored: offlineFor is a hard limit across starts', async (t) => {
  const node = new Node(t)
  await (await node.start()).stop()
  node.stopVault()
  const stoppedAt = readMoment().sinceBootMs
  await eventually('time to pass', () => readMoment().sinceBootMs > stoppedAt)
  const plugin = await node.start({ localKeys: { offlineForMs: 1 } })
  t.match(
    warnings(plugin)[0],
    /^kms\.localKeys\.sealedFile: Vault last answered .* ago, longer than kms\.localKeys\.offlineFor allows/,
  )
  t.match(plugin.localKeys?.fileFault, /^Vault last answered .* ago, longer than/)
  t.not(plugin.service.status().healthz, 'ok')
  t.equal(plugin.ring.size, 0)
})

void test('a file that is missing at the start is a fault until it is written', async (t) => {
  const node = new Node(t)
  const plugin = await node.start({ unreached: true })
  t.match(
    plugin.localKeys?.fileFault,
    /local-keys did not exist at the start \(.*\), and has not been written since$/,
  )
  plugin.watch.start()
  await plugin.clock.advance(10_000)
  await eventually('the end of the fault', () => plugin.localKeys?.fileFault === undefined)
  t.ok(existsSync(node.sealedFile))
  t.same(warnings(plugin), [], 'it is normal at the first start')
})

void test('a file that was written at a later time than now is a fault until it is written', async (t) => {
  const { node } = await outageAfterRun(t)
  const { agreedAt, ...state } = readSealedFile(node, OWNER)
  const later = { ...agreedAt, sinceBootMs: agreedAt.sinceBootMs + HOUR }
  const nodeKey = readFileSync(node.nodeKeyFile)
  const content = formatSealedFile({ ...state, agreedAt: later }, OWNER, nodeKey)
  writeFileSync(node.sealedFile, content)
  const plugin = await node.start()
  t.match(plugin.localKeys?.fileFault, /^the clock of this node is behind the time at which/)
  t.same(warnings(plugin).length, 1)
  node.startVault()
  await plugin.clock.advance(20_000)
  await eventually('the end of the fault', () => plugin.localKeys?.fileFault === undefined)
})

void test('a longer offlineFor counts from when Vault last answered, even if the file was too old before', async (t) => {
  const { node, envelope } = await outageAfterRun(t)
  const stoppedAt = readMoment().sinceBootMs
  await eventually('time to pass', () => readMoment().sinceBootMs > stoppedAt)
  const short = await node.start({ localKeys: { offlineForMs: 1 } })
  t.not(short.service.status().healthz, 'ok')
  await short.stop()
  const plugin = await node.start({ localKeys: { offlineForMs: 72 * HOUR } })
  t.equal(plugin.service.status().healthz, 'ok')
  t.ok(await works(plugin))
  t.same(await plugin.service.decrypt(envelope, plugin.within()), seed)
})

void test('a refusal removes the file', async (t) => {
  const node = new Node(t)
  const plugin = await node.start()
  await eventually('the file', () => existsSync(node.sealedFile))
  node.stopVault(new BridgeError('VAULT_DENIED', 'scripted refusal'))
  plugin.watch.suspect()
  await plugin.clock.advance(5_000)
  await eventually('its removal', () => !existsSync(node.sealedFile))
  await plugin.stop()
  t.equal(existsSync(node.sealedFile), false, 'and the end writes none')
})

void test('a file that cannot be removed after a refusal is removed later', async (t) => {
  const node = new Node(t)
  const plugin = await node.start()
  await eventually('the first write', () => plugin.sealedFileWrites > 0)
  const content = readFileSync(node.sealedFile)
  rmSync(node.sealedFile)
  mkdirSync(node.sealedFile)
  node.stopVault(new BridgeError('VAULT_DENIED', 'scripted refusal'))
  plugin.watch.suspect()
  await plugin.clock.advance(5_000)
  await eventually('the fault', () => plugin.localKeys?.fileFault !== undefined)
  t.match(plugin.localKeys?.fileFault, /cannot be removed/)
  rmSync(node.sealedFile, { recursive: true })
  writeFileSync(node.sealedFile, content)
  await plugin.clock.advance(31_000)
  await eventually('its removal', () => !existsSync(node.sealedFile))
})

void test('a write that failed is no fault any longer after a refusal, when the file may not exist', async (t) => {
  const node = new Node(t)
  const plugin = await node.start({ localKeys: { offlineForMs: 72 * HOUR } })
  await eventually('the file', () => plugin.sealedFileWrites > 0)
  const unfinished = join(node.sealedFile, '../.local-keys.new')
  mkdirSync(unfinished)
  await plugin.clock.advance(2 * HOUR)
  await eventually('the fault', () => plugin.localKeys?.fileFault !== undefined)
  t.match(plugin.localKeys?.fileFault, /cannot be written: .*\.new is a directory; remove it$/)
  rmSync(unfinished, { recursive: true })
  node.stopVault(new BridgeError('VAULT_DENIED', 'scripted refusal'))
  plugin.watch.suspect()
  await plugin.clock.advance(5_000)
  // A write that was in progress may end the fault first.
  await eventually('its removal', () => !existsSync(node.sealedFile))
  await eventually('the end of the fault', () => plugin.localKeys?.fileFault === undefined)
})

void test('the local key that encrypts is in the file, no matter how many others were learned since', async (t) => {
  const node = new Node(t)
  const plugin = await node.start()
  const envelope = await plugin.service.encrypt(seed, plugin.within())
  for (let count = 0; count < 4_200; count += 1) {
    const ciphertext = `vault:v1:${Buffer.from(String(count)).toString('base64')}`
    plugin.ring.add({ ciphertext, clusterId: 'prod', keyId: envelope.keyId }, randomBytes(32))
  }
  await plugin.stop()
  node.stopVault()
  const again = await node.start()
  t.equal(again.ring.size, 4_096)
  t.ok(await works(again))
  t.same(await again.service.decrypt(envelope, again.within()), seed)
})

void test('a disk that cannot be written to is named, and the plugin continues to work', async (t) => {
  const node = new Node(t)
  rmSync(join(node.sealedFile, '..'), { recursive: true })
  const plugin = await node.start()
  await plugin.clock.advance(2_000)
  await eventually('the fault', () =>
    /cannot be written: .*disk does not exist$/.test(plugin.localKeys?.fileFault ?? ''),
  )
  t.ok(await works(plugin))
  mkdirSync(join(node.sealedFile, '..'))
  chmodSync(join(node.sealedFile, '..'), 0o700)
  await plugin.clock.advance(31_000)
  await eventually('the write', () => plugin.sealedFileWrites > 0)
  t.equal(plugin.localKeys?.fileFault, undefined)
})

void test('no local key, seed or node key is in the file in the clear', async (t) => {
  const { node } = await outageAfterRun(t)
  const file = readFileSync(node.sealedFile)
  t.notOk(file.includes(seed))
  t.notOk(file.includes(readFileSync(node.nodeKeyFile)))
  const before = await node.start()
  t.ok(before.ring.list().length > 0)
  for (const { key } of before.ring.list()) t.notOk(file.includes(key))
})
