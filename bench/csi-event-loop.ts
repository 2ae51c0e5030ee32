// How long one request of up to the message limit (4 MiB) holds the event loop of the built CSI provider: part of
// npm run bench. Two figures: the longest delay of the event loop (monitorEventLoopDelay), which includes the time in which other
// processes used the processor, and the CPU time of the longest turn, which does not. The first costly request of a new
// process is measured as well, because its code is not yet compiled. An argument selects the requests that contain it.
import { SHAPES } from '../test/yaml/shapes.ts'
import { MAX_STRUCTURE } from '../src/csi/class/secret-provider-class.ts'
import { findShapeFault } from '../src/csi/class/text-shape.ts'
import { newPod, PodVault } from '../test/csi/pod-vault.ts'
import { ALLOW_ALL } from '../test/csi/fixture.ts'
import { GrpcClient } from '../test/real/program/grpc-client.ts'
import { Provider } from '../test/real/program/provider.ts'
import { tempFolder } from '../test/real/host/temp-folder.ts'
import { median } from './latency.ts'
import { LoopDelay, type LoopFigures } from './loop-delay.ts'
import { milliseconds, printTable, type Row } from './table.ts'

const MOUNT = '/v1alpha1.CSIDriverProvider/Mount'
const MEBIBYTE = 1024 * 1024
/** A class, a large class that is refused for its size, and the message limit. */
const SIZES = [250 * 1024, MEBIBYTE, 4 * MEBIBYTE - 16 * 1024]
const TARGET_MS = 50
const ROUNDS = 5
const SHOWN = 20
const WARM_UP = 100
/** The requests with which a cold process is measured. */
const COLD = /^a class|^4\d* KiB of (?:open lists|one text|keys) as (?:attributes|tokens)$/

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

interface Result {
  readonly name: string
  readonly costs: readonly LoopFigures[]
}

/** The built provider with a client. */
class Measured {
  readonly #provider: Provider
  readonly #client: GrpcClient
  readonly #delay: LoopDelay

  /** @param keys patterns of keys that the rule allows */
  static async start(keys: readonly string[] = ['*']): Promise<Measured> {
    const delay = new LoopDelay(tempFolder('loop'))
    const configuration = {
      vault: { address: vault.bao.address },
      csi: { audience: 'vault', rules: [{ ...ALLOW_ALL, keys }] },
      log: { level: 'info' },
    }
    const folder = tempFolder('providers')
    const provider = await Provider.start(folder, configuration, undefined, delay.wrap)
    return new Measured(provider, delay)
  }

  private constructor(provider: Provider, delay: LoopDelay) {
    this.#provider = provider
    this.#delay = delay
    this.#client = new GrpcClient(provider.socket, 60_000)
  }

  async send(message: Buffer): Promise<LoopFigures> {
    const { pid } = this.#provider.program
    await this.#delay.read(pid)
    await this.#client.send(MOUNT, message).catch(() => undefined)
    return this.#delay.read(pid)
  }

  async stop(): Promise<void> {
    this.#client.close()
    await this.#provider.stop()
  }
}

const vault = await PodVault.start()
const pod = newPod()
const tokens = await vault.tokens(pod)
const ordinary = field(1, await attributes({}))
const isJson = process.argv.includes('--json')
const [onlyMatching = ''] = process.argv.slice(2).filter((word) => !word.startsWith('--'))
try {
  printResults(await measureWarm())
  printResults(await measureCold())
  printResults(await measureRules())
} finally {
  await vault.stop()
}

/** Each request, five times, in one process. */
async function measureWarm(): Promise<Result[]> {
  const measured = await Measured.start()
  const results: Result[] = []
  // Warm-up for the JIT compiler.
  for (let round = 0; round < WARM_UP; round += 1) await measured.send(ordinary)
  for await (const [name, ...messages] of cases()) {
    if (!name.includes(onlyMatching)) continue
    const costs: LoopFigures[] = []
    for (let round = 0; round < ROUNDS; round += 1)
      costs.push(await measured.send(messages[round % messages.length] ?? ordinary))
    results.push({ name, costs })
  }
  await measured.stop()
  return results
}

/** Each of the largest requests once, in a separate process that has served one ordinary Mount. */
async function measureCold(): Promise<Result[]> {
  const results: Result[] = []
  for await (const [name, message = ordinary] of cases()) {
    if (!name.includes(onlyMatching) || !COLD.test(name)) continue
    const measured = await Measured.start()
    await measured.send(ordinary)
    results.push({ name: `cold: ${name}`, costs: [await measured.send(message)] })
    await measured.stop()
  }
  return results
}

/** Thousands of patterns, each of which is tried for each key of a class. */
async function measureRules(): Promise<Result[]> {
  const objects = Array.from({ length: 100 }, (_none, index) => ({
    path: `p${String(index)}`,
    type: 'publicKey',
    key: `team-${String(index)}-app-key`,
  }))
  const message = field(1, await attributes({ objects: JSON.stringify(objects) }))
  const results: Result[] = []
  for (const patterns of [2_000, 20_000]) {
    const name = `100 keys and ${patterns.toLocaleString('en')} patterns in csi.rules`
    if (!name.includes(onlyMatching)) continue
    const keys = Array.from({ length: patterns }, (_none, index) => `*-x${String(index)}-*-key`)
    const measured = await Measured.start(keys)
    await measured.send(ordinary)
    const costs: LoopFigures[] = []
    for (let round = 0; round < ROUNDS; round += 1) costs.push(await measured.send(message))
    results.push({ name, costs })
    await measured.stop()
  }
  return results
}

/** The target is for the CPU time of a turn: on an idle machine, this is the delay. */
function printResults(results: Result[]): void {
  results.sort((one, other) => mostOf(other, 'turn') - mostOf(one, 'turn'))
  const rows: Row[] = results.slice(0, SHOWN).map((result) => ({
    what: result.name,
    value: milliseconds(mostOf(result, 'turn')),
    ratio: `median ${medianOf(result, 'turn')}, delay ${medianOf(result, 'delay')} (max ${mostOf(result, 'delay').toFixed(0)})`,
    target: `< ${String(TARGET_MS)} ms`,
    ok: mostOf(result, 'turn') < TARGET_MS,
  }))
  const [next] = results.slice(SHOWN)
  if (next !== undefined) {
    const what = `${String(results.length - SHOWN)} other requests`
    rows.push({ what, value: `<= ${mostOf(next, 'turn').toFixed(0)} ms` })
  }
  printTable(rows, { json: isJson })
  process.exitCode = rows.some(({ ok }) => ok === false) ? 1 : 0
}

function mostOf({ costs }: Result, figure: keyof LoopFigures): number {
  return Math.max(...costs.map((cost) => cost[figure]))
}

function medianOf({ costs }: Result, figure: keyof LoopFigures): string {
  return median(costs.map((cost) => cost[figure])).toFixed(0)
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
    yield [`${label} invalid UTF-8 as attributes`, bytesField(1, Buffer.alloc(size, 0xff))]
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
    ['euro signs', JSON.stringify({ a: '€'.repeat(size / 3) })],
    ['emojis', JSON.stringify({ a: '😀'.repeat(size / 4) })],
    ['one euro sign and text', JSON.stringify({ a: `€${'x'.repeat(size)}` })],
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
  return bytesField(number, Buffer.from(text))
}

function bytesField(number: number, bytes: Buffer): Buffer {
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
