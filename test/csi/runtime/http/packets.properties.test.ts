import { deepStrictEqual, ok } from 'node:assert/strict'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { after, end } from 'tap'

import { ByteBudget } from '../../../../src/csi/runtime/byte-budget.ts'
import { ConnectionLimit } from '../../../../src/csi/runtime/http/connection-limit.ts'
import { VolumeServer } from '../../../../src/csi/runtime/http/volume-server.ts'
import { respond, type PodRequest } from '../../../../src/csi/runtime/pod-request.ts'
import { systemClock } from '../../../../src/time/clock.ts'
import { holds } from '../../../property.ts'
import { tempFolder } from '../../../real/host/temp-folder.ts'

type Seen = Pick<PodRequest, 'method' | 'target' | 'namespace'> & { readonly body: string }

const seen: Seen[] = []
const path = join(tempFolder('ps'), 's')
const server = new VolumeServer(
  ({ method, target, namespace, body }) => {
    seen.push({ method, target, namespace, body: body.toString('latin1') })
    return Promise.resolve(respond(200, { bytes: body.length }))
  },
  new ByteBudget(),
  new ConnectionLimit(),
  systemClock,
)
await server.listen(path)
after(() => server.end())

/** The requests and responses of one connection that sends these packets. */
async function exchange(packets: readonly Buffer[]): Promise<readonly [readonly Seen[], string]> {
  seen.length = 0
  const connection = connect(path)
  const chunks: Buffer[] = []
  connection.on('data', (chunk: Buffer) => void chunks.push(chunk))
  connection.on('error', () => undefined)
  const closed = new Promise((resolve) => connection.once('close', resolve))
  for (const packet of packets) {
    if (connection.destroyed) break
    connection.write(packet)
    await setImmediate()
  }
  connection.end()
  await closed
  const text = Buffer.concat(chunks).toString('latin1')
  return [[...seen], text.replaceAll(/^Date: .*\r\n/gm, '')]
}

const word = fc.string({ unit: fc.constantFrom('a', 'B', '/', '%20', '?', '=', '.'), maxLength: 8 })
const body = fc.string({
  unit: fc.constantFrom('a', '{', '"', '\r', '\n', '\0', 'é'),
  maxLength: 60,
})
const HEADERS = [
  'Host: v',
  'X-Vault-Namespace: team',
  'x-vault-namespace:',
  'X-Other: a b',
  'Accept:\t*/*',
]

/** One request after which the client closes its end: a valid one, or one of the kinds that are refused. */
const request = fc
  .record({
    method: fc.constantFrom('GET', 'POST', 'PUT', 'LIST', 'LIST', 'LIS', 'get', 'CONNECT'),
    target: word,
    version: fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/3.0'),
    headers: fc.subarray(HEADERS),
    lineEnd: fc.constantFrom('\r\n', '\r\n', '\n'),
    body,
    framing: fc.constantFrom('length', 'chunked', 'none', 'both', 'short'),
  })
  .map(({ method, target, version, headers, lineEnd, body: text, framing }) => {
    const bytes = Buffer.from(text, 'latin1')
    const hasBody = method === 'POST' || method === 'PUT'
    const length = framing === 'short' ? bytes.length + 1 : bytes.length
    const framed = hasBody && framing !== 'none'
    const lines = [
      `${method} /${target} ${version}`,
      ...headers,
      'Connection: close',
      ...(framed && framing !== 'chunked' ? [`Content-Length: ${String(length)}`] : []),
      ...(framed && ['chunked', 'both'].includes(framing) ? ['Transfer-Encoding: chunked'] : []),
    ]
    const chunked = `${bytes.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`
    const content = framed ? (framing === 'chunked' && text !== '' ? chunked : text) : ''
    return Buffer.from(`${lines.join(lineEnd)}${lineEnd}${lineEnd}${content}`, 'latin1')
  })

/** The first packet has the bytes by which Node.js's parser refuses a LIST (list-request.ts). */
const MIN_FIRST_BYTES = 3
const EACH_BYTE = Array.from({ length: 300 }, (_none, at) => at)

holds(
  'a request and its response do not depend on the packets in which the bytes arrive',
  [request, fc.oneof(fc.array(fc.nat({ max: 300 }), { maxLength: 6 }), fc.constant(EACH_BYTE))],
  async (bytes, cuts) => {
    const places = [
      0,
      ...cuts.map((cut) => Math.max(MIN_FIRST_BYTES, cut % bytes.length)).toSorted((a, b) => a - b),
      bytes.length,
    ]
    const packets = places.slice(1).map((place, at) => bytes.subarray(places[at], place))
    const whole = await exchange([bytes])
    const parts = await exchange(packets.filter(({ length }) => length > 0))
    deepStrictEqual(parts, whole)
    ok(whole[1].split('HTTP/1.1 ').length <= 2, 'one response at most')
  },
  150,
)

// Explicit, because the open socket keeps tap waiting for more tests.
end()
