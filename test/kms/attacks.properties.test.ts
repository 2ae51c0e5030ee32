// What an attacker who can write to etcd does to stored data: each change is refused, and none yields another plaintext.
import { deepStrictEqual, equal, match, ok } from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'tap'

import { BridgeError } from '../../src/errors.ts'
import type { Envelope } from '../../src/seed/envelope.ts'
import type { HandClock } from '../fakes/clock.ts'
import { holds } from '../property.ts'
import { serviceFixture, type FixtureOptions } from './service-fixture.ts'
import { transitKey } from './transit-key.ts'

type Plugin = Awaited<ReturnType<typeof serviceFixture>>

const REFUSALS =
  /^(CIPHERTEXT_INVALID|ANNOTATIONS_INVALID|CLUSTER_FOREIGN|KEY_ID_UNKNOWN|KEY_VERSION_DISABLED)$/
const seedOf = (index: number) => Buffer.alloc(32, index)

const SHAPES: readonly (readonly [string, FixtureOptions])[] = [
  ['Transit encrypted', { cache: true }],
  ['a local key encrypted', { localKeys: { enabled: true } }],
]

/** An envelope as one list of named byte strings. */
type Parts = readonly (readonly [name: string, value: Buffer])[]

const sorted = (annotations: Envelope['annotations']) =>
  Object.entries(annotations).toSorted(([one], [other]) => (one < other ? -1 : 1))

function partsOf({ ciphertext, keyId, annotations }: Envelope): Parts {
  const named = sorted(annotations)
  return [
    ['ciphertext', Buffer.from(ciphertext)],
    ['keyId', Buffer.from(keyId)],
    ...named.flatMap(([name, value]): Parts => [
      [`name of ${name}`, Buffer.from(name)],
      [`value of ${name}`, Buffer.from(value)],
    ]),
  ]
}

function envelopeOf(parts: Parts): Envelope {
  const [ciphertext, keyId, ...named] = parts.map(([, value]) => value)
  const annotations: Record<string, Buffer> = {}
  for (let at = 0; at < named.length; at += 2)
    annotations[String(named[at])] = named[at + 1] ?? Buffer.alloc(0)
  return { ciphertext: ciphertext ?? Buffer.alloc(0), keyId: String(keyId), annotations }
}

function replace(parts: Parts, index: number, value: Buffer): Envelope {
  return envelopeOf(parts.map((part, at) => (at === index ? [part[0], value] : part)))
}

/** Each bit changed, each end removed, and a byte added, for each part of an envelope. */
function* changesOf(envelope: Envelope): Generator<readonly [string, Envelope]> {
  const parts = partsOf(envelope)
  for (const [index, [name, value]] of parts.entries()) {
    for (let bit = 0; bit < value.length * 8; bit += 1) {
      const changed = Buffer.from(value)
      changed.writeUInt8(value.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      yield [`bit ${String(bit)} of the ${name}`, replace(parts, index, changed)]
    }
    for (let length = 0; length < value.length; length += 1)
      yield [`${name} of ${String(length)} bytes`, replace(parts, index, value.subarray(0, length))]
    for (const byte of [0, 0x0a, 0x41, 0x3d])
      yield [
        `${name} and ${String(byte)}`,
        replace(parts, index, Buffer.concat([value, Buffer.of(byte)])),
      ]
  }
}

/** Base64 has bits that no byte depends on: Go's decoder and Node.js ignore them. */
const meaningOf = ({ ciphertext, keyId, annotations }: Envelope) => {
  const decoded = [ciphertext, ...sorted(annotations).flat()].map((value) => {
    const [, version, encoded] =
      /^vault:v(\d+):([\w+/]+={0,2})$/.exec(Buffer.from(value).toString('latin1')) ?? []
    return encoded === undefined
      ? Buffer.from(value).toString('hex')
      : `${String(version)} ${Buffer.from(encoded, 'base64').toString('hex')}`
  })
  return JSON.stringify([keyId, decoded])
}

async function refusalOf(plugin: Plugin, changed: Envelope): Promise<BridgeError | Buffer> {
  // The key may be read again for an unknown key id only after a while.
  await plugin.clock.advance(10_000)
  return plugin.service.decrypt(changed, plugin.within()).catch((error: unknown) => {
    ok(error instanceof BridgeError, String(error))
    return error
  })
}

for (const [name, options] of SHAPES) {
  void test(`data that ${name}: each bit changed, each byte removed or added is refused`, async (t) => {
    const plugin = await serviceFixture(options)
    const envelope = await plugin.service.encrypt(seedOf(1), plugin.within())
    // The first Decrypt fills the cache and the ring: an envelope that only resembles a known one must not find it there.
    deepStrictEqual(await plugin.service.decrypt(envelope, plugin.within()), seedOf(1))
    let count = 0
    for (const [what, changed] of changesOf(envelope)) {
      count += 1
      const result = await refusalOf(plugin, changed)
      if (Buffer.isBuffer(result)) {
        equal(meaningOf(changed), meaningOf(envelope), what)
        deepStrictEqual(result, seedOf(1), what)
      } else {
        match(result.code, REFUSALS, `${what}: ${result.code}`)
      }
    }
    t.ok(count > 1_500, `${String(count)} changes`)
    t.same(await plugin.service.decrypt(envelope, plugin.within()), seedOf(1))
  })

  /** Of two clusters and two versions of the key, with two seeds each. */
  const plugin = await serviceFixture({ ...options, alsoDecryptClusters: ['old'] })
  const former = await serviceFixture({ ...options, clusterId: 'old', transit: plugin.transit })
  const envelopes: (readonly [Envelope, Buffer])[] = []
  for (const version of [1, 2]) {
    plugin.transit.key = transitKey(version)
    for (const each of [plugin, former]) {
      await each.clock.advance(3_600_000)
      for (const _ of [1, 2]) {
        const seed = seedOf(envelopes.length)
        envelopes.push([await each.service.encrypt(seed, each.within()), seed])
      }
    }
  }
  const parts = envelopes.map(([envelope]) => partsOf(envelope))
  const pick = fc.nat({ max: envelopes.length - 1 })

  holds(
    `data that ${name}: parts of several envelopes together are one of them, or are refused`,
    [pick, pick, pick, pick],
    async (...choice) => {
      const [, , , base] = choice
      const mixed = envelopeOf(
        (parts[base] ?? []).map((part, at) => parts[choice[at % 4] ?? 0]?.[at] ?? part),
      )
      const result = await refusalOf(plugin, mixed)
      const original = envelopes.find(([each]) => meaningOf(each) === meaningOf(mixed))
      if (original === undefined) ok(!Buffer.isBuffer(result) && REFUSALS.test(result.code))
      else deepStrictEqual(result, original[1])
    },
    500,
  )
}

/** The result of a call, or its error. It may wait between reads of the key, for a version that its key does not have. */
async function advanceUntilEnd(clock: HandClock, call: Promise<unknown>): Promise<unknown> {
  const state = { isOpen: true }
  const end = call.catch((error: unknown) => error).finally(() => (state.isOpen = false))
  while (state.isOpen) await clock.advance(100)
  return end
}

void test('a KMS v1 cipher: each bit changed, each byte removed or added is refused', async (t) => {
  const plugin = await serviceFixture({ cache: true })
  const cipher = Buffer.from(await plugin.service.encryptV1(seedOf(1), plugin.within()))
  const decrypt = (bytes: Buffer) => plugin.service.decryptV1(bytes, plugin.within())
  deepStrictEqual(await decrypt(cipher), seedOf(1))
  const encoded = (bytes: Buffer) => {
    const text = bytes.toString('latin1')
    const end = text.lastIndexOf(':') + 1
    return text.slice(0, end) + Buffer.from(text.slice(end), 'base64').toString('hex')
  }
  for (const [what, { ciphertext }] of changesOf({
    ciphertext: cipher,
    keyId: '',
    annotations: {},
  })) {
    const changed = Buffer.from(ciphertext)
    if (changed.equals(cipher)) continue
    await plugin.clock.advance(10_000)
    const result = await advanceUntilEnd(plugin.clock, decrypt(changed))
    if (Buffer.isBuffer(result)) equal(encoded(changed), encoded(cipher), what)
    else match((result as BridgeError).code, REFUSALS, `${what}: ${String(result)}`)
  }
  t.same(await decrypt(cipher), seedOf(1))
})
