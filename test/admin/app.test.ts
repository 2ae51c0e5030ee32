import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { request } from 'undici'
import { test } from 'tap'
import { createAdminApp, type AdminSources, type Readiness } from '../../src/admin/app.ts'

const ready: Readiness = { ready: true, reason: 'ok', message: 'ok', details: { keyVersion: 3 } }
const unready: Readiness = {
  ready: false,
  reason: 'VAULT_SEALED',
  message: 'vault at https://v:8200 is sealed',
  details: { failingSeconds: 7 },
}

/** The app on a real port, and a function that sends it requests. */
async function appFixture(sources: Partial<AdminSources> = {}) {
  const app = createAdminApp({
    isServing: () => true,
    readiness: () => ready,
    renderMetrics: async ({ format, gzip }) => ({
      contentType:
        format === 'text'
          ? 'text/plain; version=0.0.4; charset=utf-8'
          : 'application/openmetrics-text; version=1.0.0; charset=utf-8',
      body: gzip ? gzipSync('up 1\n') : Buffer.from('up 1\n'),
    }),
    ...sources,
  })
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const ask = async (
    path: string,
    options: { method?: string; headers?: Record<string, string> } = {},
  ) => {
    const answer = await request(`http://127.0.0.1:${port}${path}`, options)
    const { statusCode: status, headers } = answer
    return { status, type: headers['content-type'], headers, text: await answer.body.text() }
  }
  const stop = async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
  return { ask, stop }
}

const TEXT = 'text/plain; charset=utf-8'
const JSON_TYPE = 'application/json; charset=utf-8'

const ANSWERS: readonly (readonly [
  string,
  Partial<AdminSources>,
  string,
  Record<string, string>,
  { status: number; type: string; text: string },
])[] = [
  ['livez while it serves', {}, '/livez', {}, { status: 200, type: TEXT, text: 'ok\n' }],
  [
    'livez during an outage of Vault',
    { readiness: () => unready },
    '/livez',
    {},
    { status: 200, type: TEXT, text: 'ok\n' },
  ],
  [
    'livez without its socket',
    { isServing: () => false },
    '/livez',
    {},
    { status: 503, type: TEXT, text: 'the socket is not served\n' },
  ],
  [
    'readyz without its socket',
    { isServing: () => false },
    '/readyz',
    {},
    { status: 503, type: TEXT, text: 'the socket is not served\n' },
  ],
  [
    'readyz without its socket, during an outage of Vault',
    { isServing: () => false, readiness: () => unready },
    '/readyz',
    {},
    { status: 503, type: TEXT, text: `${unready.message}\n` },
  ],
  ['readyz', {}, '/readyz', {}, { status: 200, type: TEXT, text: 'ok\n' }],
  ['readyz for curl', {}, '/readyz', { accept: '*/*' }, { status: 200, type: TEXT, text: 'ok\n' }],
  [
    'readyz while not ready',
    { readiness: () => unready },
    '/readyz',
    {},
    { status: 503, type: TEXT, text: `${unready.message}\n` },
  ],
  [
    'readyz in JSON by Accept',
    { readiness: () => unready },
    '/readyz',
    { accept: 'application/json' },
    { status: 503, type: JSON_TYPE, text: JSON.stringify(unready) },
  ],
  [
    'readyz in JSON by its query',
    {},
    '/readyz?format=json',
    {},
    { status: 200, type: JSON_TYPE, text: JSON.stringify(ready) },
  ],
  [
    'readyz with a query it does not know',
    {},
    '/readyz?format=xml&verbose',
    {},
    { status: 200, type: TEXT, text: 'ok\n' },
  ],
  [
    'readyz for a browser',
    {},
    '/readyz',
    { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' },
    { status: 200, type: TEXT, text: 'ok\n' },
  ],
  [
    'metrics',
    {},
    '/metrics',
    {},
    { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', text: 'up 1\n' },
  ],
]

for (const [what, sources, path, headers, expected] of ANSWERS) {
  void test(`${what} answers ${expected.status}`, async (t) => {
    const { ask, stop } = await appFixture(sources)
    t.teardown(stop)
    const { status, type, text } = await ask(path, { headers })
    t.same({ status, type, text }, expected)
  })
}

for (const [method, path] of [
  ['GET', '/'],
  ['GET', '/metrics/../etc/passwd'],
  ['GET', '/healthz'],
  ['POST', '/livez'],
  ['PUT', '/metrics'],
  ['DELETE', '/readyz'],
  ['GET', '/%ff'],
] as const) {
  void test(`${method} ${path} is 404 with the paths there are`, async (t) => {
    const { ask, stop } = await appFixture()
    t.teardown(stop)
    const { status, text } = await ask(path, { method })
    t.same([status, text], [404, 'not found; use /livez, /readyz or /metrics\n'])
  })
}

/** As Prometheus 2.53 and 3.5 send it. */
const PROMETHEUS =
  'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2'

for (const [accept, encoding, type, compressed] of [
  [PROMETHEUS, 'gzip', /^application\/openmetrics-text; version=1\.0\.0/, true],
  ['text/plain', 'gzip, deflate, br', /^text\/plain; version=0\.0\.4/, true],
  ['text/plain;q=0.5,application/openmetrics-text;q=0.1', 'br', /^text\/plain/, false],
  ['application/openmetrics-text;q=0', 'gzip;q=0', /^text\/plain/, false],
  ['*/*', 'identity', /^text\/plain/, false],
] as const) {
  void test(`metrics for a client that accepts ${accept} and ${encoding}`, async (t) => {
    const { ask, stop } = await appFixture()
    t.teardown(stop)
    const { headers } = await ask('/metrics', { headers: { accept, 'accept-encoding': encoding } })
    t.match(headers, { 'content-type': type, vary: 'Accept, Accept-Encoding' })
    t.equal(headers['content-encoding'], compressed ? 'gzip' : undefined)
  })
}

void test('HEAD answers as GET does, without a body', async (t) => {
  const { ask, stop } = await appFixture({ readiness: () => unready })
  t.teardown(stop)
  t.match(await ask('/readyz', { method: 'HEAD' }), { status: 503, text: '' })
})

void test('no response reveals which program answers', async (t) => {
  const { ask, stop } = await appFixture()
  t.teardown(stop)
  const { headers } = await ask('/livez')
  t.notOk('x-powered-by' in headers || 'server' in headers || 'etag' in headers)
})

for (const [what, sources, path] of [
  [
    'metrics that cannot be rendered',
    { renderMetrics: () => Promise.reject(new Error('at /src/x.ts')) },
    '/metrics',
  ],
  [
    'a readiness that throws',
    {
      readiness: () => {
        throw new Error('at /src/x.ts')
      },
    },
    '/readyz',
  ],
] as const) {
  void test(`${what}: 500, and no stack to the client or to stderr`, async (t) => {
    const { ask, stop } = await appFixture(sources)
    t.teardown(stop)
    const written = t.capture(process.stderr, 'write', () => true)
    t.match(await ask(path), { status: 500, text: 'internal error\n' })
    t.same(written(), [])
  })
}
