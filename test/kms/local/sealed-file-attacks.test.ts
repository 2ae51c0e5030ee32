// What another process, a crash or an attacker can do to the sealed file.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { test, type Test } from 'tap'

import { BridgeError } from '../../../src/errors.ts'
import { SealedFile } from '../../../src/kms/local/sealed-file.ts'
import { formatSealedFile, parseSealedFile } from '../../../src/kms/local/sealed-format.ts'
import { StateKeeper } from '../../../src/kms/local/state-keeper.ts'
import { HandClock } from '../../fakes/clock.ts'
import { eventually } from '../../real/host/eventually.ts'
import { transitKey } from '../transit-key.ts'
import { readSealedFile } from './read-sealed-file.ts'
import { HOUR, Node, outageAfterRun, OWNER, seed, type Plugin, warnings, works } from './node.ts'

const denied = () => new BridgeError('VAULT_DENIED', 'scripted refusal')

/** What an earlier process killed in the middle of a write leaves. */
const unfinishedOf = ({ sealedFile }: Node) => join(dirname(sealedFile), '.local-keys.new')

async function refuse(node: Node, plugin: Plugin): Promise<void> {
  node.stopVault(denied())
  plugin.watch.suspect()
  await plugin.clock.advance(5_000)
}

void test('of two plugins with one sealed file, the second neither reads, writes nor removes it, and says so', async (t) => {
  const node = new Node(t)
  const first = await node.start()
  await eventually('the file', () => existsSync(node.sealedFile))
  const second = await node.start()
  await second.clock.advance(2_000)
  t.match(warnings(second)[0], /local-keys is in use by another plugin.* set another/)
  t.match(second.localKeys?.fileFault, /in use by another plugin/)
  t.equal(second.sealedFileWrites, 0)
  t.ok(await works(second), 'it works on')
  const content = readFileSync(node.sealedFile)
  await refuse(node, second)
  t.equal(second.ring.size, 0)
  t.same(readFileSync(node.sealedFile), content, 'its refusal does not concern the first one')
  await first.stop()
  await eventually('the removal, once the first has ended', async () => {
    await second.clock.advance(31_000)
    return !existsSync(node.sealedFile)
  })
})

void test('the second of two plugins takes over the file when the first ends', async (t) => {
  const node = new Node(t)
  const first = await node.start()
  await eventually('the file', () => existsSync(node.sealedFile))
  const second = await node.start()
  const envelope = await second.service.encrypt(seed, second.within())
  await first.stop()
  await eventually('a write', async () => {
    await second.clock.advance(31_000)
    return second.sealedFileWrites > 0
  })
  t.equal(second.localKeys?.fileFault, undefined)
  await second.stop()
  node.stopVault()
  const third = await node.start()
  t.same(await third.service.decrypt(envelope, third.within()), seed)
})

void test('a plugin whose socket beside the file was removed leaves the file to the plugin that has it since', async (t) => {
  const node = new Node(t)
  const first = await node.start()
  await eventually('the file', () => existsSync(node.sealedFile))
  const socket = `${node.sealedFile}.sock`
  rmSync(socket)
  const second = await node.start()
  await eventually('its write', async () => {
    await second.clock.advance(2_000)
    return second.sealedFileWrites > 0
  })
  const content = readFileSync(node.sealedFile)
  node.transit.key = transitKey(2)
  await first.watch.refresh(first.within())
  await eventually('the fault of the first', async () => {
    await first.clock.advance(2_000)
    return /in use by another plugin/.test(first.localKeys?.fileFault ?? '')
  })
  await first.stop()
  t.same(readFileSync(node.sealedFile), content)
  t.ok(existsSync(socket), 'the end of the first does not concern the second')
})

void test('a refusal removes what an interrupted write left, too', async (t) => {
  const { node } = await outageAfterRun(t)
  renameSync(node.sealedFile, unfinishedOf(node))
  const plugin = await node.start()
  t.equal(plugin.service.status().keyId, '', 'and it is never read')
  await refuse(node, plugin)
  await eventually('its removal', () => !existsSync(unfinishedOf(node)))
})

/** A plugin that knows local keys of versions 1 and 2, and what was encrypted under version 1. */
async function rotated(t: Test) {
  const node = new Node(t)
  const plugin = await node.start()
  const old = await plugin.service.encrypt(seed, plugin.within())
  node.transit.key = transitKey(2)
  await plugin.watch.refresh(plugin.within())
  await plugin.clock.advance(2_000)
  await eventually('the file', () => existsSync(node.sealedFile))
  await eventually('both in it', () => readSealedFile(node, OWNER).localKeys.length === 2)
  return { node, plugin, old }
}

void test('the local key of a disabled key version is removed from the file at once', async (t) => {
  const { node, plugin, old } = await rotated(t)
  t.equal(readSealedFile(node, OWNER).localKeys.length, 2)
  node.transit.key = transitKey(2, { from: 2 })
  await plugin.watch.refresh(plugin.within())
  await eventually(
    'a write without a wait',
    () => readSealedFile(node, OWNER).localKeys.length === 1,
  )
  // A power cut: nothing is written at the end.
  const content = readFileSync(node.sealedFile)
  await plugin.stop()
  writeFileSync(node.sealedFile, content)
  node.stopVault()
  const again = await node.start()
  t.ok(await works(again))
  t.equal(again.ring.size, 1)
  await t.rejects(again.service.decrypt(old, again.within()))
})

void test('a file with the local key of a disabled key version is removed if it cannot be replaced', async (t) => {
  const { node, plugin } = await rotated(t)
  rmSync(node.nodeKeyFile)
  node.transit.key = transitKey(2, { from: 2 })
  await plugin.watch.refresh(plugin.within())
  await eventually('its removal', () => !existsSync(node.sealedFile))
  t.match(
    plugin.localKeys?.fileFault,
    /^the node key .* is missing, so the sealed file is not written and a start needs Vault; start its unit \(transit-bridge-node-key\.service\)$/,
  )
  writeFileSync(node.nodeKeyFile, randomBytes(32))
  await eventually('the next write', async () => {
    await plugin.clock.advance(31_000)
    return existsSync(node.sealedFile)
  })
})

// Found by the test above on a slow disk: the write in progress counted for the refusal that came after it.
void test('a refusal during a write removes what that write puts there', async (t) => {
  const { sealedFile: path, nodeKeyFile } = new Node(t)
  const clock = new HandClock()
  const log = { warn: () => undefined }
  const file = new SealedFile({ path, nodeKeyFile, owner: OWNER, log })
  const agreedAt = { bootId: 'boot', sinceBootMs: 1, wallMs: 1 }
  let collected = 0
  const keeper: StateKeeper = new StateKeeper({
    file,
    collect: () => {
      collected += 1
      if (collected > 1) return undefined
      queueMicrotask(() => keeper.forget())
      return { key: transitKey(1), agreedAt, localKeys: [] }
    },
    offlineForMs: HOUR,
    onWritten: () => undefined,
    clock,
  })
  keeper.agree()
  await clock.advance(0)
  await eventually('the write after the refusal', () => collected > 1)
  await keeper.stop(Promise.resolve())
  t.notOk(existsSync(path))
})

/** What may be at the path of the file. */
const OTHERS: readonly (readonly [string, (path: string) => void, RegExp])[] = [
  ['a named pipe', (path) => execFileSync('mkfifo', [path]), /is not a regular file/],
  ['a link to a device', (path) => symlinkSync('/dev/zero', path), /is not a regular file/],
  ['a link to itself', (path) => symlinkSync(path, path), /cannot be read: ELOOP/],
  [
    'a file of 2 GiB',
    (path) => {
      writeFileSync(path, '')
      truncateSync(path, 2 ** 31)
    },
    /has more than 8388608 bytes/,
  ],
]

for (const [what, put, words] of OTHERS) {
  void test(`${what} in place of the file is named, and replaced when Vault answers`, async (t) => {
    const { node } = await outageAfterRun(t)
    rmSync(node.sealedFile)
    put(node.sealedFile)
    const plugin = await node.start()
    t.match(warnings(plugin)[0], words)
    node.startVault()
    await plugin.clock.advance(20_000)
    await plugin.stop()
    t.ok(lstatSync(node.sealedFile).isFile())
    t.same(readdirSync(dirname(node.sealedFile)).toSorted(), ['local-keys'])
    node.stopVault()
    t.ok(await works(await node.start()))
  })
}

const NOT_SOCKETS: readonly (readonly [string, (path: string) => void])[] = [
  ['a named pipe', (path) => execFileSync('mkfifo', [path])],
  ['a link to a device', (path) => symlinkSync('/dev/null', path)],
  ['a folder', (path) => mkdirSync(path)],
  ['text', (path) => writeFileSync(path, 'x'.repeat(1_000))],
]

for (const [what, put] of NOT_SOCKETS) {
  void test(`${what} in place of the socket beside the file stops no start without Vault, and is named`, async (t) => {
    const { node } = await outageAfterRun(t)
    const socket = `${node.sealedFile}.sock`
    put(socket)
    const plugin = await node.start()
    t.ok(await works(plugin), 'no other plugin can have the file')
    node.startVault()
    await plugin.clock.advance(20_000)
    await eventually('the fault', () =>
      /local-keys\.sock is not a socket; remove it if/.test(plugin.localKeys?.fileFault ?? ''),
    )
    rmSync(socket, { recursive: true })
    await eventually('the next write', async () => {
      await plugin.clock.advance(31_000)
      return plugin.localKeys?.fileFault === undefined && plugin.sealedFileWrites > 0
    })
  })
}

/** Makes the file older. */
function makeOlder(node: Node, byMs: number): void {
  const state = readSealedFile(node, OWNER)
  const agreedAt = { ...state.agreedAt, sinceBootMs: state.agreedAt.sinceBootMs - byMs }
  const nodeKey = readFileSync(node.nodeKeyFile)
  writeFileSync(node.sealedFile, formatSealedFile({ ...state, agreedAt }, OWNER, nodeKey))
}

void test('a start in the time in which local keys only decrypt is not "ok", and decrypts', async (t) => {
  const { node, envelope } = await outageAfterRun(t)
  const options = { localKeys: { offlineForMs: 4 * HOUR }, unreached: true }
  makeOlder(node, 4.5 * HOUR)
  const plugin = await node.start(options)
  t.match(plugin.service.status(), { healthz: /^starting: /, keyId: envelope.keyId })
  t.equal(plugin.localKeys?.offlineLeftMs, 0)
  t.same(await plugin.service.decrypt(envelope, plugin.within()), seed)
  await plugin.stop()
  makeOlder(node, HOUR)
  const later = await node.start(options)
  t.equal(later.ring.size, 0, 'any number of starts does not extend the time')
})

void test('a sealed file that was cut off or has a flipped bit is never accepted', (t) => {
  const nodeKey = randomBytes(32)
  const localKey = {
    ciphertext: 'vault:v1:AAAA',
    clusterId: 'prod',
    keyId: 'tb1-test',
    isOwn: true,
    key: randomBytes(32),
  }
  const agreedAt = { bootId: 'boot', sinceBootMs: 1, wallMs: 1 }
  const state = { key: transitKey(1), agreedAt, localKeys: [localKey] }
  const file = formatSealedFile(state, OWNER, nodeKey)
  const open = (bytes: Buffer, key = nodeKey) => parseSealedFile(bytes, OWNER, key)
  t.match(open(file), { agreedAt, localKeys: [localKey] })
  let faults = 0
  const isFault = (bytes: Buffer) => {
    faults += 1
    return typeof open(bytes) === 'string'
  }
  const cuts = Array.from({ length: file.length }, (_, at) => file.subarray(0, at))
  t.same(
    cuts.filter((bytes) => !isFault(bytes)),
    [],
  )
  const flips = Array.from({ length: file.length * 8 }, (_, bit) => {
    const bytes = Buffer.from(file)
    bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    return bytes
  })
  t.same(
    flips.filter((bytes) => !isFault(bytes)),
    [],
  )
  t.ok(isFault(Buffer.concat([file, Buffer.alloc(1)])))
  t.equal(faults, file.length * 9 + 1)
  for (const key of [randomBytes(32), Buffer.alloc(32)])
    t.match(open(file, key), /another node key/)
  for (const keyPath of ['other/k8s-etcd', 'team/transit/k8s-etcd', 'transit/k8s-etcd-2'])
    t.match(parseSealedFile(file, { ...OWNER, keyPath }, nodeKey), /belongs to key/)
  t.end()
})

void test('the same state is never sealed twice under one key and nonce', (t) => {
  const state = {
    key: transitKey(1),
    agreedAt: { bootId: 'boot', sinceBootMs: 1, wallMs: 1 },
    localKeys: [],
  }
  const nodeKey = randomBytes(32)
  const salts = Array.from({ length: 1_000 }, () => {
    const file = formatSealedFile(state, OWNER, nodeKey)
    const start = file.indexOf('}\n') + 2
    return file.toString('hex', start, start + 32)
  })
  t.equal(new Set(salts).size, salts.length)
  t.end()
})
