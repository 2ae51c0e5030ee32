// Where the bytes of a local key are: in the memory of the process until Vault refuses, and nowhere else.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { encodeLocalKeyAssociatedData } from '../../../src/seed/local-seal.ts'
import { eventually } from '../../real/host/eventually.ts'
import { findInMemory } from '../../real/host/process-memory.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import type { Plugin } from '../../real/program/plugin.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import { Fixture, newSeed, outcomeOf } from '../fixture.ts'

const fixture = await Fixture.open()
const { bao, vault } = fixture
const BUNDLE = join(import.meta.dirname, '../../../dist/transit-bridge.cjs')
const LOCAL_KEY = 'local-key.transit-bridge.internal'
const SETTINGS = { kms: { refreshInterval: '1s', localKeys: { enabled: true } } }

type Wrapped = Awaited<ReturnType<Plugin['client']['encrypt']>>

/** The local key under which something was encrypted, as root may decrypt it. */
async function localKeyOf({ annotations }: Wrapped): Promise<Buffer> {
  const { data } = await bao.api('POST', `transit/decrypt/${KEY}`, {
    ciphertext: Buffer.from(annotations[LOCAL_KEY] ?? []).toString(),
    associated_data: encodeLocalKeyAssociatedData('test-cluster').toString('base64'),
  })
  return Buffer.from(String(data.plaintext), 'base64')
}

/** From the middle, because an allocator overwrites the first bytes of freed memory. */
function piecesOf(key: Buffer): readonly Buffer[] {
  const piece = key.subarray(9, 27)
  const texts = (['base64', 'hex'] as const).map((encoding) => piece.toString(encoding))
  return [piece, ...texts.flatMap((text) => [Buffer.from(text), Buffer.from(text, 'utf16le')])]
}

void test('a refusal leaves no byte of its own local keys and of those of other nodes in the process', async (t) => {
  const [plugin, other] = await Promise.all([
    fixture.startHealthy(SETTINGS),
    fixture.startHealthy(SETTINGS),
  ])
  const { pid } = plugin.program
  const seed = newSeed()
  const wrapped = [await plugin.client.encrypt(seed), await other.client.encrypt(seed)]
  for (const each of wrapped) t.same(await plugin.client.decrypt(each), seed)
  const keys = await Promise.all(wrapped.map(localKeyOf))
  for (const key of keys)
    t.same(findInMemory(pid, [key]), [key], 'the search finds it while it is used')

  await bao.api('DELETE', 'sys/policies/acl/transit-bridge-kms')
  await plugin.waitForHealth(/denies/)
  const pieces = keys.flatMap(piecesOf)
  await eventually('no local key to be in memory', async () => {
    // What comes next overwrites the buffers of connections.
    await outcomeOf(plugin.client.encrypt(newSeed()))
    const found = findInMemory(pid, pieces)
    if (found.length === 0) return true
    throw new Error(`forms ${found.map((each) => pieces.indexOf(each)).join()}`)
  })
  await vault.writePolicy()
  await plugin.waitForHealth('ok')
  for (const each of wrapped) t.same(await plugin.client.decrypt(each), seed)
  for (const { program } of [plugin, other])
    for (const key of keys)
      for (const text of [key.toString('base64'), key.toString('hex')])
        t.notMatch(program.output(), text)
})

void test('a refusal leaves no byte of the local keys that came from the sealed file, nor of the node key', async (t) => {
  const folder = tempFolder('sealed')
  const [sealedFile, nodeKeyFile] = [join(folder, 'local-keys'), join(folder, 'node-key')]
  const nodeKey = newSeed()
  writeFileSync(nodeKeyFile, nodeKey, { mode: 0o400 })
  const network = await fixture.tcpProxy()
  const localKeys = { enabled: true, sealedFile, nodeKeyFile }
  const kms = { refreshInterval: '1s', localKeys }
  const plugin = await fixture.startHealthy({ address: network.address, kms })
  const other = await fixture.startHealthy(SETTINGS)
  const wrapped = [await plugin.client.encrypt(newSeed()), await other.client.encrypt(newSeed())]
  for (const each of wrapped) await plugin.client.decrypt(each)
  const keys = await Promise.all(wrapped.map(localKeyOf))
  await network.refuse()
  await plugin.program.terminate()
  await plugin.restart()
  for (const each of wrapped) await plugin.client.decrypt(each)
  const pid = () => plugin.program.pid
  t.same(findInMemory(pid(), keys), keys, 'the search finds them while they are used')
  const pieces = [...keys, nodeKey].flatMap(piecesOf)
  const content = readFileSync(sealedFile)
  t.same(
    pieces.filter((piece) => content.includes(piece)),
    [],
  )
  await bao.api('DELETE', 'sys/policies/acl/transit-bridge-kms')
  await network.pass()
  await plugin.waitForHealth(/denies/)
  await eventually('no key to be in memory', async () => {
    await outcomeOf(plugin.client.encrypt(newSeed()))
    const found = findInMemory(pid(), pieces)
    if (found.length === 0) return true
    throw new Error(`forms ${found.map((each) => pieces.indexOf(each)).join()}`)
  })
  await eventually('the removal of the sealed file', () => !existsSync(sealedFile))
  t.same(readdirSync(folder).toSorted(), ['local-keys.sock', 'node-key'])
  await vault.writePolicy()
})

void test('a core dump contains no memory, so no local key', async (t) => {
  const folder = tempFolder('core')
  // As in a container whose runtime allows core dumps of any size: its entry point is not the launcher, which forbids them.
  const script = `cd ${folder}; ulimit -c unlimited; exec "$0" "$@"`
  const plugin = await fixture.launch(SETTINGS, ({ args }) => ({
    command: 'sh',
    args: ['-c', script, process.execPath, BUNDLE, ...args],
  }))
  await plugin.waitForSocket()
  await plugin.waitForHealth('ok')
  const { pid } = plugin.program
  const key = await localKeyOf(await plugin.client.encrypt(newSeed()))
  t.same(findInMemory(pid, [key]), [key], 'it is in memory')
  t.match(readFileSync(`/proc/${String(pid)}/coredump_filter`, 'utf8'), /^0+\n$/)
  process.kill(pid, 'SIGSEGV')
  await eventually('its end', () => !plugin.program.running)
  // Other values of core_pattern pass the dump to a program or name another folder (core(5)).
  if (readFileSync('/proc/sys/kernel/core_pattern', 'utf8') !== 'core\n') return
  const core = readFileSync(join(folder, 'core'))
  t.ok(core.length > 0)
  for (const piece of piecesOf(key)) t.notOk(core.includes(piece))
})

fixture.end()
