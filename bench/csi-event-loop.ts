// How long one request of up to the message limit (4 MiB) holds the event loop of the built CSI provider: part of
// npm run bench. The provider measures it itself (perf_hooks, monitorEventLoopDelay) and shows the maximum in /metrics.
import { SHAPES } from '../test/yaml/shapes.ts'
import { newPod, PodVault } from '../test/csi/pod-vault.ts'
import { ALLOW_ALL } from '../test/csi/fixture.ts'
import { GrpcClient } from '../test/real/program/grpc-client.ts'
import { Provider } from '../test/real/program/provider.ts'
import { tempFolder } from '../test/real/host/temp-folder.ts'
import { eventually } from '../test/real/host/eventually.ts'
import { setTimeout as sleep } from 'node:timers/promises'
import { printTable, type Row } from './table.ts'

const MOUNT = '/v1alpha1.CSIDriverProvider/Mount'
const MEBIBYTE = 1024 * 1024
/** A class, a large class that is refused for its size, and the message limit. */
const SIZES = [250 * 1024, MEBIBYTE, 4 * MEBIBYTE - 16 * 1024]
const TARGET_MS = 50
const ROUNDS = 3
const SHOWN = 20
/** A scrape returns the same text for a second (src/telemetry/metrics-text.ts). */
const METRICS_AGE_MS = 1_050

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
let latest = await eventually('the admin server', readMetrics)
try {
  const results: { name: string; held: Held }[] = []
  const idle = await measure(Buffer.alloc(0))
  for await (const [name, message] of cases()) {
    const { delayMs, cpuMs } = await measure(message)
    results.push({ name, held: { delayMs: delayMs - idle.delayMs, cpuMs: cpuMs - idle.cpuMs } })
  }
  results.sort((one, other) => other.held.cpuMs - one.held.cpuMs)
  const rows: Row[] = results.slice(0, SHOWN).map(({ name, held }) => ({
    what: `event loop held by ${name}`,
    value: `${held.delayMs.toFixed(0)} ms`,
    ratio: `${held.cpuMs.toFixed(0)} ms of processor time`,
    target: `< ${String(TARGET_MS)} ms`,
    ok: Math.min(held.delayMs, held.cpuMs) < TARGET_MS,
  }))
  printTable([
    ...rows,
    {
      what: 'requests of other kinds, all below these',
      value: String(results.length - rows.length),
    },
  ])
} finally {
  client.close()
  await provider.stop()
  await vault.stop()
}

interface Held {
  /** The maximum delay of the event loop: including the time in which other processes used the processor. */
  readonly delayMs: number
  /** Processor time of the process until the answer. */
  readonly cpuMs: number
}

/** Sends a request several times and returns the worst delay, and the mean of the processor time. */
async function measure(message: Buffer): Promise<Held> {
  const { cpuMs } = latest
  for (let round = 0; round < ROUNDS; round += 1)
    await client.send(MOUNT, message).catch(() => undefined)
  await sleep(METRICS_AGE_MS)
  latest = await readMetrics()
  return { delayMs: latest.delayMs, cpuMs: (latest.cpuMs - cpuMs) / ROUNDS }
}

/** Reading the metrics resets the maximum delay. */
async function readMetrics(): Promise<Held> {
  const answer = await fetch(`http://127.0.0.1:${String(provider.adminPort)}/metrics`)
  const text = await answer.text()
  const read = (name: string) =>
    1000 * Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? 0)
  return {
    delayMs: read('nodejs_eventloop_lag_max_seconds'),
    cpuMs: read('process_cpu_seconds_total'),
  }
}

/** By name, the bytes of a request. */
async function* cases(): AsyncGenerator<readonly [string, Buffer]> {
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
  const [size = 0] = SIZES
  for (const [name, make] of [...Object.entries(SHAPES), ...Object.entries(OBJECTS)])
    yield [`a class of ${name}`, field(1, await attributes({ objects: fill(make, size) }))]
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

/** The largest number of items whose text, as JSON, has at most this size. */
function fill(make: (n: number) => string, size: number): string {
  let [low, high] = [1, size]
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    const isSmall = middle < 4_096 || middle <= (size / (make(1_000).length / 1_000)) * 1.2
    if (isSmall && JSON.stringify(make(middle)).length <= size) low = middle
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
