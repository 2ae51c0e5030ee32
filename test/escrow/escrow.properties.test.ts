import { deepStrictEqual, equal, notDeepStrictEqual, ok, rejects } from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'tap'

import { BridgeError } from '../../src/errors.ts'
import { KeyTable } from '../../src/escrow/key-table.ts'
import type { EscrowManifest } from '../../src/escrow/manifest.ts'
import { formatEscrow, openEscrow, readEscrow, sealEscrow } from '../../src/escrow/sealed-file.ts'
import {
  combineShares,
  digestShare,
  formatShare,
  joinShares,
  splitFileKey,
} from '../../src/escrow/share.ts'
import { holds } from '../property.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

const folder = tempFolder('escrow')
const FILE_KEY = Buffer.alloc(32, 5)

const secret = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((array) => Buffer.from(array))
const secrets = fc.array(fc.tuple(fc.constantFrom('local-key' as const, 'seed' as const), secret), {
  maxLength: 6,
})
const name = fc.string({ unit: 'binary', maxLength: 20 })
const count = fc.nat()
const facts = fc.record({
  clusterId: name,
  alsoDecryptClusters: fc.array(name, { maxLength: 2 }),
  transit: fc.record(
    { mount: name, key: name, versions: fc.array(count, { maxLength: 3 }) },
    { noNullPrototype: true },
  ),
  uncovered: count,
  recipients: count,
})

function tableOf(list: readonly (readonly ['local-key' | 'seed', Buffer])[]): KeyTable {
  const table = new KeyTable()
  for (const [index, [kind, bytes]] of list.entries())
    table.add(kind, `id ${String(index)}`, Buffer.from(bytes))
  return table
}

function manifestOf(table: KeyTable, given: Partial<EscrowManifest> = {}): EscrowManifest {
  return {
    id: '0123456789abcdef0123456789abcdef',
    createdAt: '2026-01-01T00:00:00.000Z',
    clusterId: 'prod',
    alsoDecryptClusters: [],
    transit: { mount: 'transit', key: 'k8s', versions: [1] },
    localKeys: table.count('local-key'),
    seeds: table.count('seed'),
    uncovered: 0,
    sources: [{ name: 'etcd', encrypted: 1, covered: 1 }],
    recipients: 0,
    entries: [...table.entries],
    ...given,
  }
}

holds(
  'an escrow is read from its file as it was written, and opens with its key only',
  [secrets, facts],
  async (list, given) => {
    const table = tableOf(list)
    const file = sealEscrow({ manifest: manifestOf(table, given) }, table, FILE_KEY)
    const path = join(folder, 'escrow.json')
    writeFileSync(path, formatEscrow(file))
    const read = await readEscrow(path)
    deepStrictEqual(read.manifest, file.manifest)
    const opened = openEscrow(read, FILE_KEY)
    deepStrictEqual(opened.entries, table.entries)
    for (const [index, [, bytes]] of list.entries())
      deepStrictEqual(opened.find(`id ${String(index)}`), bytes)
    await rejects(async () => openEscrow(read, Buffer.alloc(32)), { code: 'FILE_DAMAGED' })
  },
)

void test('an escrow file with a bit of any byte changed, or its end removed, is refused', async (t) => {
  const table = tableOf([['seed', Buffer.alloc(32, 1)]])
  const text = formatEscrow(sealEscrow({ manifest: manifestOf(table) }, table, FILE_KEY))
  const original = JSON.stringify(JSON.parse(text))
  const path = join(folder, 'changed.json')
  const bytes = Buffer.from(text)
  for (const [at, byte] of bytes.entries()) {
    const changed = Buffer.from(bytes)
    changed.writeUInt8(byte ^ (1 << (at % 8)), at)
    writeFileSync(path, changed)
    const read = await readEscrow(path).catch((error: unknown) => error as BridgeError)
    if (read instanceof BridgeError)
      ok(['FILE_DAMAGED', 'USAGE_INVALID'].includes(read.code), String(read))
    else t.equal(JSON.stringify(read), original, `byte ${String(at)}`)
  }
  for (let length = 0; length < bytes.length - 2; length += 37) {
    writeFileSync(path, bytes.subarray(0, length))
    await rejects(readEscrow(path), { code: 'FILE_DAMAGED' })
  }
})

/** How many shares there are, how many are needed, and which ones are used, in which order. */
const shares = fc.integer({ min: 2, max: 7 }).chain((of) =>
  fc.record({
    of: fc.constant(of),
    needed: fc.integer({ min: 2, max: of }),
    used: fc.shuffledSubarray(Array.from({ length: of }, (_none, index) => index)),
  }),
)

holds(
  'any shares open an escrow if there are enough of them, in any order, and too few never do',
  [shares, fc.uint8Array({ minLength: 32, maxLength: 32 })],
  async ({ of, needed, used }, fileKey) => {
    const made = await splitFileKey(fileKey, { needed, of })
    const table = tableOf([])
    const manifest = manifestOf(table, { shares: { needed, digests: made.map(digestShare) } })
    const files = used.map((index) => {
      const file = join(folder, `share-${String(index)}`)
      writeFileSync(file, formatShare(manifest, index, made[index] ?? Buffer.alloc(0)))
      return file
    })
    if (used.length >= needed) {
      deepStrictEqual(Buffer.from(await joinShares(manifest, files)), Buffer.from(fileKey))
      return
    }
    await rejects(joinShares(manifest, [...files, ...files]), { code: 'USAGE_INVALID' })
    if (used.length < 2) return
    // What the mathematics yields for too few is other bytes.
    const combined = await combineShares(used.map((index) => made[index] ?? new Uint8Array()))
    notDeepStrictEqual(Buffer.from(combined), Buffer.from(fileKey))
  },
  100,
)

holds(
  'a share with any byte changed is refused and named, and the message does not show it',
  [fc.nat(), fc.integer({ min: 1, max: 255 })],
  async (place, mask) => {
    const made = await splitFileKey(FILE_KEY, { needed: 2, of: 3 })
    const manifest = manifestOf(tableOf([]), {
      shares: { needed: 2, digests: made.map(digestShare) },
    })
    const good = join(folder, 'good')
    writeFileSync(good, formatShare(manifest, 0, made[0] ?? Buffer.alloc(0)))
    const share = Buffer.from(made[1] ?? Buffer.alloc(0))
    const at = place % share.length
    share.writeUInt8(share.readUInt8(at) ^ mask, at)
    const bad = join(folder, 'bad')
    writeFileSync(bad, formatShare(manifest, 1, share))
    const error: unknown = await joinShares(manifest, [good, bad]).catch(
      (thrown: unknown) => thrown,
    )
    ok(error instanceof BridgeError && error.code === 'FILE_DAMAGED', String(error))
    ok(error.message.includes(bad))
    ok(!error.message.includes(share.toString('base64').slice(0, 12)))
    equal(share.length, 33)
  },
  50,
)
