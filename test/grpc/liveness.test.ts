import { createServer as createHttp2 } from 'node:http2'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { test } from 'tap'

import { pingSocket } from '../../src/grpc/liveness.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

async function listen(server: Server, socket: string): Promise<Server> {
  await new Promise<void>((resolve) => void server.listen(socket, resolve))
  return server
}

void test('a server that answers a ping is alive', async (t) => {
  const socket = join(tempFolder('liveness'), 's')
  const server = await listen(createHttp2(), socket)
  t.teardown(() => void server.close())
  await pingSocket(socket, 10_000)
})

void test('a server that closes connections at any moment is reported, and never ends the program', async (t) => {
  const closings = [
    createServer((connection) => connection.destroy()),
    createServer((connection) => connection.end()),
    createServer((connection) => void connection.once('data', () => connection.destroy())),
    createHttp2().on('session', (session) => session.destroy()),
    createHttp2().on('session', (session) => session.close()),
  ]
  for (const closing of closings) {
    const socket = join(tempFolder('liveness'), 's')
    const server = await listen(closing, socket)
    t.teardown(() => void server.close())
    const pings = Array.from({ length: 20 }, () => pingSocket(socket, 10_000))
    for (const outcome of await Promise.allSettled(pings)) {
      // A session that closes gracefully may answer first.
      if (outcome.status === 'rejected') t.match(outcome.reason, { code: 'SOCKET_FAILED' })
    }
  }
})

void test('a socket that is not there is reported', async (t) => {
  await t.rejects(pingSocket(join(tempFolder('liveness'), 's'), 10_000), { code: 'SOCKET_FAILED' })
})
