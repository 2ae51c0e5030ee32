import { connect, Socket } from 'node:net'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { end, test } from 'tap'

import { ByteBudget } from '../../../../src/csi/runtime/byte-budget.ts'
import { ConnectionLimit } from '../../../../src/csi/runtime/http/connection-limit.ts'
import { ListRequests, type ListRequest } from '../../../../src/csi/runtime/http/list-request.ts'
import { VolumeServer } from '../../../../src/csi/runtime/http/volume-server.ts'
import { BridgeError } from '../../../../src/errors.ts'
import { toErrorResponse } from '../../../../src/csi/runtime/error-response.ts'
import { HandClock } from '../../../fakes/clock.ts'
import { tempFolder } from '../../../real/host/temp-folder.ts'

const HEAD = 'LIST /v1/transit/keys HTTP/1.1\r\nHost: v\r\nX-Vault-Namespace: a\r\n\r\n'

/** What packets of one connection lead to. */
function read(...packets: readonly string[]): readonly (ListRequest | undefined)[] {
  const lists = new ListRequests(new HandClock())
  const connection = new Socket()
  const found: (ListRequest | undefined)[] = []
  for (const packet of packets)
    lists.add(connection, Buffer.from(packet), (request) => void found.push(request))
  connection.destroy()
  return found
}

void test('a LIST is read from any number of packets', (t) => {
  const whole = read(HEAD)
  t.match(whole, [{ target: '/v1/transit/keys' }])
  t.equal(whole[0]?.headers.get('x-vault-namespace'), 'a')
  for (let at = 3; at < HEAD.length; at += 1)
    t.same(read(HEAD.slice(0, at), HEAD.slice(at)), whole, `split after ${String(at)} bytes`)
  t.same(read(HEAD.slice(0, 3), ...HEAD.slice(3).split('')), whole, 'byte by byte')
  t.same(read(HEAD, 'GET /v1/sys/health HTTP/1.1\r\n\r\n'), whole, 'only the first is read')
  t.end()
})

void test('what is not a LIST is refused with its first packet, and a head that is too long at its limit', (t) => {
  t.same(read('nonsense'), [undefined])
  t.same(read('LISTEN /'), [undefined])
  t.same(read('LIS', 'P /v1/'), [undefined])
  t.same(read(`LIST /${'a'.repeat(16 * 1024)}`), [undefined])
  const packet = 'a'.repeat(1024)
  t.same(read('LIST /', ...Array<string>(20).fill(packet)), [undefined])
  t.end()
})

void test('the rest of a head must arrive in time', async (t) => {
  const clock = new HandClock()
  const lists = new ListRequests(clock)
  const found: unknown[] = []
  const connection = new Socket()
  t.teardown(() => void connection.destroy())
  const use = (request: unknown) => void found.push(request)
  lists.add(connection, Buffer.from('LIST /v1/'), use)
  await clock.advance(9_000)
  lists.add(connection, Buffer.from('transit'), use)
  t.same(found, [])
  await clock.advance(1_000)
  t.same(found, [undefined])
  lists.add(connection, Buffer.from('/keys HTTP/1.1\r\n\r\n'), use)
  t.same(found, [undefined], 'it is answered once')
})

void test('a LIST in several packets gets a response, with the headers of other responses', async (t) => {
  const path = join(tempFolder('rt'), 's')
  const error = new BridgeError('OVERLOADED', 'send fewer at once')
  const answer = () => Promise.resolve(toErrorResponse(error))
  const limit = new ConnectionLimit()
  const server = new VolumeServer(answer, new ByteBudget(), limit, new HandClock())
  await server.listen(path)
  t.teardown(() => server.end())
  const ask = async (...packets: readonly string[]) => {
    const connection = connect(path)
    let text = ''
    connection.on('data', (chunk: Buffer) => (text += chunk.toString()))
    const closed = new Promise((resolve) => connection.once('close', resolve))
    for (const packet of packets) {
      await new Promise<void>((resolve) => void connection.write(packet, () => resolve()))
      await setImmediate()
    }
    await closed
    return text
      .split('\r\n\r\n')[0]
      ?.split('\r\n')
      .filter((line) => !line.startsWith('Date'))
  }
  const found = await ask('LIST /v1/tran', 'sit/keys HTTP/1.1\r\nHo', 'st: v\r\n\r\n')
  t.match(found, [/^HTTP\/1\.1 429 /])
  t.ok(found?.includes('Retry-After: 1'))
  const usual = await ask('GET /v1/transit/keys HTTP/1.1\r\nHost: v\r\nConnection: close\r\n\r\n')
  t.same(found?.toSorted(), usual?.toSorted())
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
