import { createServer } from 'node:http'
import { join } from 'node:path'
import { test } from 'tap'

import { startForwarder } from '../../../src/csi/runtime/forwarder.ts'
import { freePort } from '../../real/host/port.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { failure } from '../fixture.ts'

const HOST = '127.0.0.1'

void test('connections reach the socket, even if it is created later', async (t) => {
  const socket = join(tempFolder('forward'), 'vault.sock')
  const failures: string[] = []
  const forwarder = await startForwarder({
    socket,
    listen: { host: HOST, port: 0 },
    onFailure: (reason) => failures.push(reason),
  })
  t.teardown(() => forwarder.stop())
  const url = `http://${HOST}:${String(forwarder.port)}/v1/sys/health`
  await t.rejects(fetch(url))
  t.same(failures, ['ENOENT'])
  const server = createServer((_, response) => response.end('answered'))
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  t.teardown(() => void server.close())
  const answer = await fetch(url)
  t.equal(await answer.text(), 'answered')
})

void test('a port in use is an error that names it', async (t) => {
  const port = await freePort()
  const options = { socket: '/none', listen: { host: HOST, port }, onFailure: () => undefined }
  const first = await startForwarder(options)
  t.teardown(() => first.stop())
  const error = await failure(startForwarder(options))
  t.equal(error.code, 'SOCKET_FAILED')
  t.match(error.message, new RegExp(`${HOST}:${String(port)} \\(EADDRINUSE\\).*--listen`))
})
