// Owners, modes and places of the sealed file, and changes while it is read.
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { test, type Test } from 'tap'

import { BridgeError } from '../../../src/errors.ts'
import { SealedFile } from '../../../src/kms/local/sealed-file.ts'
import { eventually } from '../../real/host/eventually.ts'
import { transitKey } from '../transit-key.ts'
import { Node, outageAfterRun, OWNER, type Plugin, seed, warnings, works } from './node.ts'

const NOBODY = 65_534
const isRoot = process.geteuid?.() === 0
const skip = !isRoot && 'only root can give a file away'

/** What may be at the path of the file and still is the file. */
const USABLE: readonly (readonly [string, (node: Node) => void])[] = [
  ['has mode 0644', ({ sealedFile }) => chmodSync(sealedFile, 0o644)],
  ['has mode 0400', ({ sealedFile }) => chmodSync(sealedFile, 0o400)],
  ['belongs to another user', ({ sealedFile }) => chownSync(sealedFile, NOBODY, NOBODY)],
  [
    'is behind a link',
    ({ sealedFile }) => {
      renameSync(sealedFile, `${sealedFile}.moved`)
      symlinkSync(`${sealedFile}.moved`, sealedFile)
    },
  ],
]

for (const [what, change] of USABLE) {
  void test(`a file that ${what} is used, and replaced when Vault answers`, { skip }, async (t) => {
    const { node, envelope } = await outageAfterRun(t)
    change(node)
    const plugin = await node.start()
    t.same(warnings(plugin), [])
    t.same(await plugin.service.decrypt(envelope, plugin.within()), seed)
    node.startVault()
    await plugin.clock.advance(20_000)
    await plugin.stop()
    const { mode, uid } = lstatSync(node.sealedFile)
    t.equal(mode & 0o777, 0o600)
    t.equal(uid, process.geteuid?.())
    t.ok(lstatSync(node.sealedFile).isFile())
  })
}

/** Runs as a user without rights. The user owns the files of the node, apart from what `before` changes. */
async function asNobody(t: Test, node: Node, before: () => void): Promise<void> {
  const folder = dirname(node.sealedFile)
  for (const path of [dirname(folder), folder, node.nodeKeyFile, node.sealedFile])
    chownSync(path, NOBODY, NOBODY)
  before()
  process.seteuid?.(NOBODY)
  t.teardown(() => process.seteuid?.(0))
}

async function heals(plugin: Plugin): Promise<void> {
  await eventually('a write without a fault', async () => {
    await plugin.clock.advance(31_000)
    return plugin.localKeys?.fileFault === undefined && plugin.sealedFileWrites > 0
  })
}

void test(
  'a file that this user cannot read is named, and replaced when Vault answers',
  { skip },
  async (t) => {
    const { node, envelope } = await outageAfterRun(t)
    await asNobody(t, node, () => chownSync(node.sealedFile, 0, 0))
    const plugin = await node.start()
    t.match(warnings(plugin)[0], /local-keys cannot be read: permission denied$/)
    await t.rejects(plugin.service.decrypt(envelope, plugin.within()), {
      code: 'VAULT_UNREACHABLE',
    })
    node.startVault()
    await heals(plugin)
    t.equal(statSync(node.sealedFile).uid, NOBODY)
    await plugin.stop()
    node.stopVault()
    t.ok(await works(await node.start()))
  },
)

void test(
  'a folder that this user cannot write to is named; the file in it is used',
  { skip },
  async (t) => {
    const { node, envelope } = await outageAfterRun(t)
    const folder = dirname(node.sealedFile)
    await asNobody(t, node, () => {
      chownSync(folder, 0, 0)
      chmodSync(folder, 0o755)
    })
    const plugin = await node.start()
    t.same(await plugin.service.decrypt(envelope, plugin.within()), seed)
    node.startVault()
    await plugin.clock.advance(20_000)
    await eventually('the fault', () => plugin.localKeys?.fileFault !== undefined)
    t.match(plugin.localKeys?.fileFault, /cannot be written: permission denied$/)
    node.stopVault(new BridgeError('VAULT_DENIED', 'scripted refusal'))
    plugin.watch.suspect()
    await plugin.clock.advance(5_000)
    await eventually('the other fault', () =>
      plugin.localKeys?.fileFault?.endsWith('cannot be removed: permission denied'),
    )
    process.seteuid?.(0)
    chownSync(folder, NOBODY, NOBODY)
    process.seteuid?.(NOBODY)
    await eventually('the removal', async () => {
      await plugin.clock.advance(31_000)
      return !existsSync(node.sealedFile)
    })
    node.startVault()
    await heals(plugin)
  },
)

void test(
  'a folder that this user cannot look into is named, and the plugin works with Vault',
  { skip },
  async (t) => {
    const { node } = await outageAfterRun(t)
    const folder = dirname(node.sealedFile)
    await asNobody(t, node, () => chownSync(folder, 0, 0))
    process.seteuid?.(0)
    chmodSync(folder, 0o700)
    process.seteuid?.(NOBODY)
    node.startVault()
    const plugin = await node.start()
    t.match(warnings(plugin)[0], /local-keys cannot be read: permission denied$/)
    t.ok(await works(plugin))
  },
)

void test('a folder with content in place of the file is named until it is removed', async (t) => {
  const { node } = await outageAfterRun(t)
  rmSync(node.sealedFile)
  mkdirSync(join(node.sealedFile, 'content'), { recursive: true })
  const plugin = await node.start()
  t.match(warnings(plugin)[0], /local-keys is not a regular file$/)
  node.startVault()
  await plugin.clock.advance(20_000)
  await eventually('the other fault', () =>
    plugin.localKeys?.fileFault?.endsWith('cannot be written: it is a directory; remove it'),
  )
  t.ok(existsSync(join(node.sealedFile, 'content')), 'it is not removed automatically')
  t.ok(await works(plugin))
  rmSync(node.sealedFile, { recursive: true })
  await heals(plugin)
})

void test('a folder at the path of an interrupted write is reported, and does not prevent the removal of the file after a refusal', async (t) => {
  const node = new Node(t)
  const plugin = await node.start()
  await eventually('the file', () => existsSync(node.sealedFile))
  const unfinished = join(dirname(node.sealedFile), '.local-keys.new')
  mkdirSync(unfinished)
  node.stopVault(new BridgeError('VAULT_DENIED', 'scripted refusal'))
  plugin.watch.suspect()
  await plugin.clock.advance(5_000)
  await eventually('the removal of the file', () => !existsSync(node.sealedFile))
  await eventually('the fault', () =>
    /cannot be removed: .*\.local-keys\.new is a directory; remove it$/.test(
      plugin.localKeys?.fileFault ?? '',
    ),
  )
  node.startVault()
  await eventually('the fault of a write', async () => {
    await plugin.clock.advance(31_000)
    return /cannot be written: .*\.local-keys\.new is a directory; remove it$/.test(
      plugin.localKeys?.fileFault ?? '',
    )
  })
  rmSync(unfinished, { recursive: true })
  await heals(plugin)
})

function sealedFileOf({ sealedFile: path, nodeKeyFile }: Node): SealedFile {
  return new SealedFile({ path, nodeKeyFile, owner: OWNER, log: { warn: () => undefined } })
}

const emptyState = (sinceBootMs: number) => ({
  key: transitKey(1),
  agreedAt: { bootId: 'boot', sinceBootMs, wallMs: 1 },
  localKeys: [],
})

void test('a file that is replaced while it is read is the old or the new one', async (t) => {
  const node = new Node(t)
  const [writer, reader] = [sealedFileOf(node), sealedFileOf(node)]
  await writer.save(() => emptyState(0))
  const writing = (async () => {
    for (let written = 1; written <= 100; written += 1)
      t.ok(await writer.save(() => emptyState(written)))
  })()
  let last = 0
  while (last < 100) {
    const found = (await reader.load())?.agreedAt.sinceBootMs
    if (found === undefined || found < last) throw new Error(reader.fault?.text ?? 'an older file')
    last = found
  }
  await writing
  await writer.release()
  t.equal(reader.fault, undefined)
})

void test('a file that another program overwrites in place is read whole or named', async (t) => {
  const node = new Node(t)
  const file = sealedFileOf(node)
  await file.save(() => emptyState(1))
  await file.release()
  const content = readFileSync(node.sealedFile)
  const reader = sealedFileOf(node)
  const contents = [content, content.subarray(0, 100), Buffer.concat([content, content]), '']
  for (let reads = 0; reads < 200; reads += 1) {
    const reading = reader.load()
    writeFileSync(node.sealedFile, contents[reads % contents.length] ?? '')
    const state = await reading
    if (state === undefined) t.match(reader.fault?.text, /is damaged|is not a sealed|grew while/)
    else t.match(state, { agreedAt: { sinceBootMs: 1 } })
  }
})
