import { connect } from 'node:net'
import { after, end, test } from 'tap'

import { newPod, PodVault, ROLE } from '../pod-vault.ts'
import { ALLOW_RUNTIME, startRuntime } from './fixture.ts'

// Vault would allow all of this; only the driver refuses it.
const EVERYTHING = `
path "*" { capabilities = ["create", "read", "update", "delete", "list", "patch", "sudo"] }
`

const vault = await PodVault.start()
after(() => vault.stop())
await vault.enableRole(ROLE, EVERYTHING)
await vault.makeKey('app-data')
await vault.makeKey('other')
await vault.makeKey('k8s-etcd')
const runtime = await startRuntime(vault, {
  rules: [{ ...ALLOW_RUNTIME, keys: ['app-*'], operations: ['encrypt', 'keyInfo'] }],
})
after(() => runtime.stop())
const socket = await runtime.kubelet.publish(newPod())
const started = vault.bao.auditMark()

/** Paths that rules allow, as Vault's audit names them. */
const ALLOWED = new Set(['transit/encrypt/app-data', 'transit/keys/app-data', 'transit/keys'])

type Exchange = { readonly status: number; readonly body: string }

/** Sends bytes as they are and reads until the other side closes; ends its own side after the first response. */
function send(bytes: string | Buffer): Promise<Exchange> {
  return new Promise((resolve, reject) => {
    const connection = connect(socket.path, () => connection.write(bytes))
    let text = ''
    connection.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const bodyAt = text.indexOf('\r\n\r\n')
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? NaN)
      if (bodyAt >= 0 && text.length >= bodyAt + 4 + length) connection.destroy()
    })
    connection.on('error', reject)
    connection.on('close', () =>
      resolve({
        status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0),
        body: text.slice(text.indexOf('\r\n\r\n') + 4),
      }),
    )
  })
}

function request(method: string, target: string, headers = '', body = ''): string {
  const length = body === '' ? '' : `Content-Length: ${String(Buffer.byteLength(body))}\r\n`
  return `${method} ${target} HTTP/1.1\r\nHost: vault\r\n${headers}${length}\r\n${body}`
}

const BODY = '{"plaintext":"YQ=="}'
const post = (target: string, headers?: string, body = BODY) =>
  request('POST', target, headers, body)

/** Targets that Vault, its router or a proxy could read as another path. */
const TARGETS = [
  '/v1/transit/encrypt/other',
  '/v1/transit/encrypt/k8s-etcd',
  '/v1/transit/decrypt/app-data',
  '/v1/transit/decrypt/k8s-etcd',
  '/v1/transit/rewrap/app-data',
  '/v1/transit/sign/app-data',
  '/v1/transit/datakey/plaintext/app-data',
  '/v1/transit/export/encryption-key/app-data',
  '/v1/transit/backup/app-data',
  '/v1/transit/restore',
  '/v1/transit/restore/app-data',
  '/v1/transit/keys/app-data',
  '/v1/transit/keys/app-data/rotate',
  '/v1/transit/keys/app-data/config',
  '/v1/transit/keys/app-data/trim',
  '/v1/transit/keys/app-new',
  '/v1/transit/wrapping_key',
  '/v1/transit/cache-config',
  '/v1/transit/random',
  '/v1/transit/hash',
  '/v1/transit/../sys/seal',
  '/v1/transit/encrypt/app-data/../../decrypt/k8s-etcd',
  '/v1/transit/encrypt/app-data/../other',
  '/v1/transit/encrypt/./other',
  '/v1/transit/encrypt/..',
  '/v1/transit/encrypt/app-data/..;/other',
  '/v1/transit/encrypt/%2e%2e/decrypt/k8s-etcd',
  '/v1/transit/encrypt/app-data%2f..%2fother',
  '/v1/transit/encrypt%2fother',
  '/v1/transit%2fencrypt/other',
  '/v1/transit/encrypt/app%2ddata',
  '/v1/transit/encrypt/app-data%00',
  '/v1/transit/encrypt/app-data%0d%0aX: y',
  '/v1/transit//encrypt/other',
  '/v1//transit/encrypt/app-data',
  '//v1/transit/encrypt/app-data',
  '/v1/transit/encrypt//app-data',
  '/v1/transit/encrypt/app-data/',
  '/v1/transit/encrypt/app-data//',
  '/v1/transit/encrypt/app-data/extra',
  '/v1/transit/encrypt/app-data?list=true',
  '/v1/transit/encrypt/app-data?name=other',
  '/v1/transit/encrypt/app-data?help=1',
  '/v1/transit/encrypt/app-data#other',
  '/v1/transit/encrypt/app-data;other',
  '/v1/transit/encrypt/app-data\\other',
  '/v1/transit/encrypt/',
  '/v1/transit/encrypt',
  '/v1/transit/encrypt/-app-data',
  '/v1/transit/encrypt/app-data-',
  '/v1/transit',
  '/v1/transit/',
  '/v1/TRANSIT/encrypt/app-data',
  '/v1/Transit/encrypt/app-data',
  '/v1/transit/Encrypt/app-data',
  '/v1/transit2/encrypt/app-data',
  '/v1/secret/data/app',
  '/v1/sys/seal',
  '/v1/sys/step-down',
  '/v1/sys/mounts',
  '/v1/sys/mounts/x',
  '/v1/sys/policies/acl/web',
  '/v1/sys/raw/core/keyring',
  '/v1/sys/wrapping/unwrap',
  '/v1/sys/internal/ui/mounts/secret',
  '/v1/sys/internal/ui/mounts/../../../seal',
  '/v1/auth/token/create',
  '/v1/auth/token/revoke-self',
  '/v1/auth/token/lookup',
  '/v1/auth/jwt/login',
  '/v1/cubbyhole/x',
  '/v1/identity/entity',
  '/v1/',
  '/v1',
  '/',
  '/ui/',
  '/v2/transit/encrypt/app-data',
  '/v1/team-a/transit/encrypt/app-data',
  'http://vault/v1/transit/encrypt/app-data',
  'http://169.254.169.254/latest/meta-data',
  '*',
]

for (const target of TARGETS) {
  void test(`POST ${target} is refused in Vault's format`, async (t) => {
    refused(t, await send(post(target)))
  })
}

type Asserts = { readonly ok: (value: unknown, words: string) => unknown }

function refused(t: Asserts, { status, body }: Exchange): void {
  t.ok((status >= 400 && status < 500) || status === 505, `status ${String(status)}`)
  const { errors } = JSON.parse(body) as { errors: string[] }
  t.ok(Array.isArray(errors) && errors.length > 0, body)
}

/** A batch that fails in part, and the status that its response then has. */
const batch = (status: string, name = 'partial_failure_response_code') =>
  `{"${name}": ${status}, "batch_input":[{"plaintext":"YQ=="},{"plaintext":"!"}]}`

/** Statuses for which Vault closes the connection, redirects or sends no body. */
const STATUSES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ['1', '100', '101', '199', '204', '205', '304', '307', '"307"', '3.07e2', '0503', '-1'].map(
      (status) => [`the status ${status}`, batch(status)],
    ),
  ),
  'the status 307 after another one': batch('200')
    .replace('{', '{"a":1,')
    .replace('}', `},${batch('307').slice(1, -1)}}`),
  'the status 307 with spaces': batch(`${' '.repeat(1_000)}307`),
  'the status 307 in a field with an escape': batch(
    '307',
    String.raw`partial\u005ffailure_response_code`,
  ),
  'the status 307 in a field with escapes': batch(
    '307',
    String.raw`\u0070artial_failure_response_code`,
  ),
}

for (const [name, body] of Object.entries(STATUSES)) {
  void test(`a batch that chooses ${name} is refused in Vault's format`, async (t) => {
    refused(t, await send(post('/v1/transit/encrypt/app-data', '', body)))
  })
}

void test('a batch may choose the status of a result', async (t) => {
  for (const status of [200, 207, 400, 503]) {
    const answer = await send(post('/v1/transit/encrypt/app-data', '', batch(String(status))))
    t.equal(answer.status, status, answer.body)
    t.match(JSON.parse(answer.body), { data: { batch_results: [{ ciphertext: String }, {}] } })
  }
})

void test('other escapes in JSON are passed on', async (t) => {
  const body = String.raw`{"plaintext":"YQ\u003d\u003D","x":"\u007f\\u0061\u00e4 partial_failure_response_code"}`
  t.equal((await send(post('/v1/transit/encrypt/app-data', '', body))).status, 200)
})

void test('a client cannot add metric labels, or count as an outage', async (t) => {
  for (const status of [503, 500, 599, 299, 418])
    await socket.ask(`sys/health?activecode=${String(status)}`)
  const text = await runtime.metrics.registry.metrics()
  const codes = [
    ...text.matchAll(/runtime_request_duration_seconds_count\{operation="(\w+)",code="(\w+)"\}/g),
  ]
  const labels = new Set(codes.map(([, , code]) => code))
  t.ok(labels.has('5xx'))
  t.same(
    [...labels].filter((code) => /^(?:418|5\d\d|2(?!00)\d\d)$/.test(code ?? '')),
    [],
  )
})

const LINE = 'POST /v1/transit/encrypt/app-data HTTP/1.1\r\nHost: vault\r\n'
const SMUGGLED =
  'POST /v1/transit/decrypt/k8s-etcd HTTP/1.1\r\nHost: v\r\nContent-Length: 2\r\n\r\n{}'

/** Messages that a parser and a proxy could read differently, or that could exhaust a limit. */
const MESSAGES: Readonly<Record<string, string | Buffer>> = {
  'two lengths': `${LINE}Content-Length: 20\r\nContent-Length: 5\r\n\r\n${BODY}`,
  'a length and chunks': `${LINE}Content-Length: 20\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'chunks that are not the last encoding': `${LINE}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`,
  'an encoding with a space': `${LINE}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
  'another encoding with the name of chunks in it': `${LINE}Transfer-Encoding: xchunked\r\n\r\n14\r\n${BODY}\r\n0\r\n\r\n`,
  'two encodings': `${LINE}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n${BODY}\r\n0\r\n\r\n`,
  'lines that end without a carriage return':
    LINE.replaceAll('\r', '') + `Content-Length: 20\n\n${BODY}`,
  'chunks that end without a carriage return': `${LINE}Transfer-Encoding: chunked\r\n\r\n14\n${BODY}\n0\n\n`,
  'a chunk with a length of 17 digits': `${LINE}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n${BODY}\r\n0\r\n\r\n`,
  'a chunk with a length of another form': `${LINE}Transfer-Encoding: chunked\r\n\r\n0x14\r\n${BODY}\r\n0\r\n\r\n`,
  'a chunk with an extension of 20 KiB': `${LINE}Transfer-Encoding: chunked\r\n\r\n14;${'a'.repeat(20_000)}\r\n${BODY}\r\n0\r\n\r\n`,
  'two equal lengths': `${LINE}Content-Length: 20\r\nContent-Length: 20\r\n\r\n${BODY}`,
  'a list of lengths': `${LINE}Content-Length: 20, 20\r\n\r\n${BODY}`,
  'a path that is not ASCII': post('/v1/transit/encrypt/\u00e4pp'),
  'the form of a target for CONNECT': post('vault:8200'),
  'two namespaces': post(
    '/v1/transit/encrypt/app-data',
    'X-Vault-Namespace: root\r\nX-Vault-Namespace: other\r\n',
  ),
  'an upgrade with a body and another request':
    request(
      'POST',
      '/v1/transit/encrypt/app-data',
      'Connection: upgrade\r\nUpgrade: h2c\r\n',
      BODY,
    ) + SMUGGLED,
  'a negative length': `${LINE}Content-Length: -1\r\n\r\n`,
  'a length with a sign': `${LINE}Content-Length: +20\r\n\r\n${BODY}`,
  'a length of hexadecimal digits': `${LINE}Content-Length: 0x14\r\n\r\n${BODY}`,
  'a body of 3 MiB by its length': `${LINE}Content-Length: 3145728\r\n\r\n`,
  'a header line without a colon': `${LINE}nothing\r\n\r\n`,
  'a folded header': `${LINE}X-A: b\r\n c\r\nContent-Length: 20\r\n\r\n${BODY}`,
  'a header with a zero byte': `${LINE}X-A: \0\r\nContent-Length: 20\r\n\r\n${BODY}`,
  'headers of 20 KiB': `${LINE}X-A: ${'a'.repeat(20_000)}\r\nContent-Length: 20\r\n\r\n${BODY}`,
  'three thousand headers': `${LINE}${'X-A: b\r\n'.repeat(3_000)}\r\n`,
  'a target of 20 KiB': post(`/v1/transit/encrypt/${'a'.repeat(20_000)}`),
  CONNECT: 'CONNECT 127.0.0.1:8200 HTTP/1.1\r\nHost: 127.0.0.1:8200\r\n\r\n',
  'an upgrade to a web socket': request(
    'GET',
    '/v1/transit/keys/app-data',
    'Connection: Upgrade\r\nUpgrade: websocket\r\n',
  ),
  'an upgrade to HTTP/2': request(
    'GET',
    '/v1/transit/keys/app-data',
    'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n',
  ),
  'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'a TLS hello': Buffer.from('16030100c8010000c40303', 'hex'),
  'HTTP/0.9': 'GET /v1/transit/keys/app-data\r\n\r\n',
  'HTTP/3.0': 'GET /v1/transit/keys/app-data HTTP/3.0\r\n\r\n',
  TRACE: request('TRACE', '/v1/transit/keys/app-data'),
  DELETE: request('DELETE', '/v1/transit/keys/app-data'),
  PATCH: request('PATCH', '/v1/transit/keys/app-data', '', '{}'),
  'a LIST of another path': request('LIST', '/v1/sys/policies/acl'),
  'a LIST with a header of 15,000 spaces and a control character': request(
    'LIST',
    '/v1/transit/keys',
    `X-A:${' '.repeat(15_000)}\x01\r\n`,
  ),
  'a namespace with 15,000 slashes inside': post(
    '/v1/transit/encrypt/app-data',
    `X-Vault-Namespace: a${'/'.repeat(15_000)}b\r\n`,
  ),
  'a LIST with a body': request('LIST', '/v1/transit/keys', '', '{}'),
  'a LIST with a request behind it': `${request('LIST', '/v1/transit/keys')}${SMUGGLED}`,
  'a method of our own': request('SEAL', '/v1/sys/seal'),
  'an unknown expectation': request('POST', '/v1/transit/encrypt/app-data', 'Expect: x\r\n', BODY),
  'random bytes': Buffer.from(Array.from({ length: 512 }, (_, index) => (index * 167) % 256)),
}

for (const [name, bytes] of Object.entries(MESSAGES)) {
  void test(`${name}: refused in Vault's format`, async (t) => {
    refused(t, await send(bytes))
  })
}

void test('a method in a header does not replace the method', async (t) => {
  const answer = await send(
    request('GET', '/v1/transit/keys/app-data', 'X-HTTP-Method-Override: DELETE\r\n'),
  )
  t.equal(answer.status, 200)
})

const NAMED = { name: 'other', key: 'other', path: 'transit/encrypt/other', __proto__: null }
const NAMES: Readonly<Record<string, string>> = {
  'in the body': JSON.stringify({ plaintext: 'YQ==', ...NAMED }),
  'in an item of a batch': JSON.stringify({ batch_input: [{ plaintext: 'YQ==', ...NAMED }] }),
  'in a field that is repeated':
    '{"plaintext":"Yg==","name":"app-data","name":"other","plaintext":"YQ=="}',
}

for (const [where, body] of Object.entries(NAMES)) {
  void test(`the name of another key ${where} changes nothing`, async (t) => {
    const answer = await send(post('/v1/transit/encrypt/app-data', '', body))
    t.equal(answer.status, 200, answer.body)
    const [ciphertext] = /vault:v1:[^"]+/.exec(answer.body) ?? []
    const { data } = await vault.bao.api('POST', 'transit/decrypt/app-data', { ciphertext })
    t.equal(data.plaintext, 'YQ==', 'the key of the path encrypted it')
  })
}

void test('headers of Vault and of this program that a client sends do not reach Vault', async (t) => {
  const since = vault.bao.auditMark()
  const headers = [
    'X-Vault-Policy-Override: true',
    'X-Vault-MFA: a:b',
    'X-Vault-Forward: active-node',
    'X-Vault-No-Request-Forwarding: true',
    'X-Forwarded-For: 192.0.2.1',
    'X-Transit-Bridge-UID: shop/another/pod',
    '',
  ]
  const answer = await send(post('/v1/transit/encrypt/app-data', headers.join('\r\n')))
  t.equal(answer.status, 200, answer.body)
  const [found] = vault.bao.auditRequests({ since, path: 'transit/encrypt/app-data' })
  t.same(Object.keys(found?.headers ?? {}), ['x-transit-bridge-uid'])
  t.match(found?.headers['x-transit-bridge-uid']?.[0], /^shop\/web-0\/[\w-]{36}$/)
})

void test('a request behind the last chunk of a body is not answered', async (t) => {
  const chunked = `${LINE}Transfer-Encoding: chunked\r\n\r\n14\r\n${BODY}\r\n0\r\n\r\n`
  t.equal((await send(chunked + SMUGGLED)).status, 200)
})

void test('a list of keys contains only those that a rule allows', async (t) => {
  const answer = await send(request('GET', '/v1/transit/keys?list=true'))
  t.same((JSON.parse(answer.body) as { data: object }).data, { keys: ['app-data'] })
})

void test('a body of more than 2 MiB in chunks is refused while it arrives', async (t) => {
  const chunk = `10000\r\n${'a'.repeat(0x1_0000)}\r\n`
  refused(t, await send(`${LINE}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(40)}0\r\n\r\n`))
  const text = await runtime.metrics.registry.metrics()
  t.match(text, /runtime_request_duration_seconds_count\{operation="none",code="413"\}/)
})

void test('only requests that a rule allows reached Vault', async (t) => {
  const paths = vault.bao
    .auditRequests({ since: started })
    .filter(({ displayName }) => displayName !== 'root')
    .map(({ path }) => path.replace(/\/$/, ''))
  t.ok(paths.length > 0)
  t.same(
    paths.filter((path) => !ALLOWED.has(path)),
    [],
  )
  t.equal((await socket.ask('transit/encrypt/app-data', { body: BODY })).status, 200)
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
