// How long one request of up to the message limit (4 MiB) holds the event loop of the built CSI provider: part of
// npm run bench. The figure is the CPU time of the provider's main thread from the request to its answer, which is at least
// that of its longest turn. Unlike the delay of the event loop (monitorEventLoopDelay, in /metrics), it does not include
// the time in which other processes used the processor.
import { SHAPES } from '../test/yaml/shapes.ts'
import { MAX_STRUCTURE } from '../src/csi/class/secret-provider-class.ts'
import { findShapeFault } from '../src/csi/class/text-shape.ts'
import { newPod, PodVault } from '../test/csi/pod-vault.ts'
import { ALLOW_ALL } from '../test/csi/fixture.ts'
import { GrpcClient } from '../test/real/program/grpc-client.ts'
import { Provider } from '../test/real/program/provider.ts'
import { tempFolder } from '../test/real/host/temp-folder.ts'
import { median } from './latency.ts'
import { readMainThreadTime } from './process-figures.ts'
import { printTable, type Row } from './table.ts'

const MOUNT = '/v1alpha1.CSIDriverProvider/Mount'
const MEBIBYTE = 1024 * 1024
/** A class, a large class that is refused for its size, and the message limit. */
const SIZES = [250 * 1024, MEBIBYTE, 4 * MEBIBYTE - 16 * 1024]
const TARGET_MS = 50
const ROUNDS = 5
const SHOWN = 20
const WARM_UP = 100

const TOKENS = 'csi.storage.k8s.io/serviceAccount.tokens'

/** Classes whose text is valid YAML, with many objects, fields, or long names. */
const OBJECTS: Readonly<Record<string, (n: number) => string>> = {
  'equal objects': (n) => `[${'{path: a, type: publicKey, key: k},'.repeat(n)}]`,
  'empty objects': (n) => `[${'{},'.repeat(n)}]`,
  'unknown fields of an object': (n) =>
    `[{${Array.from({ length: n }, (_none, index) => `f${String(index)}: 1`).join(',')}}]`,
  'one long path': (n) => JSON.stringify([{ path: 'a/'.repeat(n), type: 'publicKey', key: 'k' }]),
  'one long key': (n) => JSON.stringify([{ path: 'a', type: 'publicKey', key: 'k'.repeat(n) }]),
  'one long ciphertext': (n) =>
    JSON.stringify([
      { path: 'a', type: 'decrypt', key: 'k', ciphertext: `vault:v1:${'QUJD'.repeat(n)}` },
    ]),
  'one long pointer': (n) =>
    JSON.stringify([
      {
        path: 'a',
        type: 'decrypt',
        key: 'k',
        ciphertext: 'vault:v1:QUJD',
        jsonPointer: '/a'.repeat(n),
      },
    ]),
  'many distinct objects': (n) =>
    JSON.stringify(
      Array.from({ length: n }, (_none, index) => ({
        path: `a${String(index)}`,
        type: 'publicKey',
        key: 'k',
      })),
    ),
}

const vault = await PodVault.start()
const pod = newPod()
const tokens = await vault.tokens(pod)
const provider = await Provider.start(tempFolder('providers'), {
  vault: { address: vault.bao.address },
  csi: { audience: 'vault', rules: [{ ...ALLOW_ALL }] },
  log: { level: 'info' },
})
const client = new GrpcClient(provider.socket, 60_000)
try {
  // Warm-up for the JIT compiler.
  const ordinary = field(1, await attributes({}))
  for (let round = 0; round < WARM_UP; round += 1) await measure(ordinary)
  const results: { name: string; times: readonly number[] }[] = []
  for await (const [name, ...messages] of cases()) {
    const times: number[] = []
    for (let round = 0; round < ROUNDS; round += 1)
      times.push(await measure(messages[round % messages.length] ?? ordinary))
    results.push({ name, times })
  }
  results.sort((one, other) => median(other.times) - median(one.times))
  const rows: Row[] = results.slice(0, SHOWN).map(({ name, times }) => ({
    what: name,
    value: `${median(times).toFixed(0)} ms`,
    ratio: `${Math.max(...times).toFixed(0)} ms at most`,
    target: `< ${String(TARGET_MS)} ms`,
    ok: median(times) < TARGET_MS,
  }))
  const others = results.slice(SHOWN)
  rows.push({
    what: `${String(others.length)} other requests`,
    value: `<= ${median(others[0]?.times ?? []).toFixed(0)} ms`,
  })
  printTable(rows)
} finally {
  client.close()
  await provider.stop()
  await vault.stop()
}

/** Returns the CPU time for a request, in milliseconds. */
async function measure(message: Buffer): Promise<number> {
  const before = await readMainThreadTime(provider.program.pid)
  await client.send(MOUNT, message).catch(() => undefined)
  return (await readMainThreadTime(provider.program.pid)) - before
}

/** By name, the bytes of a request, or of one for each round. */
async function* cases(): AsyncGenerator<readonly [string, ...Buffer[]]> {
  for (const size of SIZES) {
    const label = `${String(Math.round(size / 1024))} KiB of`
    for (const [name, text] of rawTexts(size)) {
      yield [`${label} ${name} as attributes`, field(1, text)]
      yield [
        `${label} ${name} as secrets`,
        Buffer.concat([field(1, await attributes({})), field(2, text)]),
      ]
      yield [`${label} ${name} as tokens`, field(1, await attributes({ [TOKENS]: text }))]
      yield [
        `${label} ${name} as a token`,
        field(1, await attributes({ [TOKENS]: JSON.stringify({ vault: { token: text } }) })),
      ]
    }
    yield [`${label} parameters`, field(1, await attributes(manyParameters(size)))]
    yield [
      `${label} empty object versions`,
      Buffer.concat([field(1, await attributes({})), repeat(Buffer.from([0x2a, 0]), size)]),
    ]
    yield [
      `${label} unknown fields`,
      Buffer.concat([field(1, await attributes({})), repeat(Buffer.from([0x78, 0]), size)]),
    ]
  }
  for (const [name, make] of Object.entries({ ...SHAPES, ...OBJECTS })) {
    const objects = fill(make)
    yield [`a class of ${name}`, ...(await eachRound({ objects }))]
  }
}

/** The same class with other parameters in each round, because the provider caches classes. */
function eachRound(change: Record<string, string>): Promise<readonly Buffer[]> {
  return Promise.all(
    Array.from({ length: ROUNDS }, async (_none, round) =>
      field(1, await attributes({ ...change, mount: `m${String(round)}` })),
    ),
  )
}

function rawTexts(size: number): readonly (readonly [string, string])[] {
  return [
    ['one text', JSON.stringify({ a: 'x'.repeat(size) })],
    ['escapes', `{"a":"${'\\u0041'.repeat(size / 6)}"}`],
    [
      'keys',
      `{${Array.from({ length: Math.floor(size / 14) }, (_none, index) => `"k${String(index)}":""`).join(',')}}`,
    ],
    ['open lists', '['.repeat(size)],
    ['nested lists', '['.repeat(size / 2) + ']'.repeat(size / 2)],
    ['nested mappings', '{"a":'.repeat(size / 6) + '1' + '}'.repeat(size / 6)],
    ['numbers', `[${'1,'.repeat(size / 2)}1]`],
    ['dots', '.'.repeat(size)],
    ['base64', 'QUJD'.repeat(size / 4)],
    [
      'a JWT',
      `e30.${Buffer.from(JSON.stringify({ sub: 'x'.repeat(size / 2) })).toString('base64url')}.AA`,
    ],
  ]
}

function manyParameters(size: number): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: Math.floor(size / 16) }, (_none, index) => [`p${String(index)}`, 'x']),
  )
}

/** Maximum number of items with which a text is still within the bounds of a class. */
function fill(make: (n: number) => string): string {
  let [low, high] = [1, 64 * 1024]
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (findShapeFault(make(middle), MAX_STRUCTURE) === undefined) low = middle
    else high = middle - 1
  }
  return make(low)
}

async function attributes(change: Record<string, string>): Promise<string> {
  return vault.attributes(pod, '[]', { [TOKENS]: tokens, ...change })
}

/** A field of type string: tag, length, bytes. */
function field(number: number, text: string): Buffer {
  const bytes = Buffer.from(text)
  const length: number[] = []
  for (let left = bytes.length; ; left >>>= 7) {
    length.push(left > 0x7f ? (left & 0x7f) | 0x80 : left)
    if (left <= 0x7f) break
  }
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes])
}

function repeat(bytes: Buffer, size: number): Buffer {
  return Buffer.alloc(size - (size % bytes.length), bytes)
}
