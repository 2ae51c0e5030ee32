// Inputs for the servers of HTTP/1.1 (RFC 9112): the admin server, and the socket of a pod.
import { named, type Input } from './input.ts'

const get = (target: string, ...headers: readonly string[]) =>
  [`GET ${target} HTTP/1.1`, 'Host: x', ...headers, '', ''].join('\r\n')

function post(target: string, body: string, ...headers: readonly string[]): string {
  const length = `Content-Length: ${String(Buffer.byteLength(body, 'latin1'))}`
  return [`POST ${target} HTTP/1.1`, 'Host: x', length, ...headers, '', body].join('\r\n')
}

/** Hostile to any server. `TARGET` is replaced by a path that exists. */
const HOSTILE = {
  'no host': 'GET TARGET HTTP/1.1\r\n\r\n',
  'HTTP/1.0': 'GET TARGET HTTP/1.0\r\n\r\n',
  'HTTP/0.9': 'GET TARGET\r\n',
  'HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'a version that does not exist': 'GET TARGET HTTP/9.9\r\nHost: x\r\n\r\n',
  'line feeds alone': 'GET TARGET HTTP/1.1\nHost: x\n\n',
  'a head without an end': 'GET TARGET HTTP/1.1\r\nHost: x\r\n',
  'a head of 20 KiB': get('TARGET', `A: ${'x'.repeat(20_000)}`),
  'a target of 20 KiB': get(`TARGET?${'x'.repeat(20_000)}`),
  '500 headers': get('TARGET', ...Array<string>(500).fill('A: b')),
  'a folded header': get('TARGET', 'A: b', ' c'),
  'a header without a name': get('TARGET', ': b'),
  'a zero byte': get('TARGET', 'A: \0'),
  'two lengths': post('TARGET', 'hello', 'Content-Length: 6'),
  'a negative length': 'POST TARGET HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
  'a length of 10 GB': 'POST TARGET HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\nx',
  'a length and chunks': post('TARGET', '0\r\n\r\n', 'Transfer-Encoding: chunked'),
  chunks:
    get('TARGET', 'Transfer-Encoding: chunked').replace('GET', 'POST') + '5\r\nhello\r\n0\r\n\r\n',
  'a chunk of a wrong size':
    get('TARGET', 'Transfer-Encoding: chunked').replace('GET', 'POST') + 'fffffffffffff\r\nx',
  'chunks of a byte':
    get('TARGET', 'Transfer-Encoding: chunked').replace('GET', 'POST') + '1\r\nx\r\n'.repeat(2_000),
  'a chunk with an extension':
    get('TARGET', 'Transfer-Encoding: chunked').replace('GET', 'POST') +
    `1;${'a'.repeat(9_000)}\r\nx\r\n0\r\n\r\n`,
  trailers:
    get('TARGET', 'Transfer-Encoding: chunked').replace('GET', 'POST') + '0\r\nA: b\r\n\r\n',
  'a request behind another': get('TARGET').repeat(2),
  '500 requests at once': get('TARGET').repeat(500),
  'a CONNECT': 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
  'an upgrade': get('TARGET', 'Connection: Upgrade', 'Upgrade: websocket'),
  'an expectation': get('TARGET', 'Expect: 100-continue'),
  'an unknown expectation': get('TARGET', 'Expect: x'),
  'a method that does not exist': get('TARGET').replace('GET', 'BREW'),
  'OPTIONS of everything': 'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n',
  'an absolute target': get('http://x/TARGET'),
  'a target without a slash': get('x'),
  'a target with dots': get('/../../etc/passwd'),
  'a target with a wrong escape': get('/%zz/%'),
  'a target that is not UTF-8': get('/%ff%fe'),
  'a HEAD': get('TARGET').replace('GET', 'HEAD'),
  'a TLS hello': '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03',
  zeros: '\0'.repeat(2_000),
  nothing: '',
}

function hostileFor(target: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(HOSTILE).map(([name, text]) => [name, text.replaceAll('TARGET', target)]),
  )
}

export const ADMIN_INPUTS: readonly Input[] = named({
  metrics: get('/metrics'),
  'metrics in OpenMetrics with gzip': get(
    '/metrics',
    'Accept: application/openmetrics-text',
    'Accept-Encoding: gzip',
  ),
  'a strange Accept': get(
    '/metrics',
    `Accept: ${'*/*;q=0.1,'.repeat(500)}`,
    'Accept-Encoding: gzip;q=x, ,;',
  ),
  readiness: get('/readyz?format=json'),
  'a strange query': get('/readyz?format=%ff&format[]=1&__proto__=x'),
  liveness: get('/healthz'),
  'an unknown page': get('/x'),
  'a POST of a page': post('/metrics', 'hello'),
  'the outage drill': post('/drill/outage', '{"for":"1s"}', 'Content-Type: application/json'),
  ...hostileFor('/readyz'),
})

const json = (path: string, value: unknown, ...headers: readonly string[]) =>
  post(`/v1/${path}`, JSON.stringify(value), ...headers)

export const POD_INPUTS: readonly Input[] = named({
  encrypt: json('transit/encrypt/app', { plaintext: 'aGVsbG8=' }),
  'a batch': json('transit/encrypt/app', {
    batch_input: [{ plaintext: 'aGVsbG8=' }, { plaintext: '!' }, null],
  }),
  decrypt: json('transit/decrypt/app', { ciphertext: 'vault:v1:QUJDRA==' }),
  sign: json('transit/sign/app/sha2-256', { input: 'aGVsbG8=' }),
  random: json('transit/random/32', {}),
  'a huge random': json('transit/random/999999999', { bytes: 1e9 }),
  keys: get('/v1/transit/keys/app'),
  'a LIST': 'LIST /v1/transit/keys HTTP/1.1\r\nHost: x\r\n\r\n',
  'a LIST with a body': 'LIST /v1/transit/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx',
  'a list by GET': get('/v1/transit/keys?list=true'),
  health: get('/v1/sys/health'),
  'another engine': get('/v1/secret/data/x'),
  'a key with dots': json('transit/encrypt/..%2f..%2fsys', { plaintext: '' }),
  'a key of slashes': json('transit/encrypt//app//', { plaintext: '' }),
  'a namespace': json('transit/encrypt/app', { plaintext: '' }, 'X-Vault-Namespace: ../root'),
  'a token': json(
    'transit/encrypt/app',
    { plaintext: '' },
    'X-Vault-Token: x',
    'X-Vault-Wrap-TTL: 60',
  ),
  'JSON without an end': post('/v1/transit/encrypt/app', '{"plaintext":"'),
  'deep JSON': post('/v1/transit/encrypt/app', '['.repeat(20_000)),
  'JSON with many members': post('/v1/transit/encrypt/app', `{${'"a":1,'.repeat(20_000)}"b":2}`),
  'JSON with a prototype': post(
    '/v1/transit/encrypt/app',
    '{"__proto__":{"plaintext":"x"},"constructor":1}',
  ),
  'JSON that is not UTF-8': post('/v1/transit/encrypt/app', '{"plaintext":"\xff\xfe"}'),
  'JSON with half of a pair': post('/v1/transit/encrypt/app', '{"plaintext":"\\ud800"}'),
  'a number as JSON': post('/v1/transit/encrypt/app', '1e999'),
  ...hostileFor('/v1/transit/keys/app'),
})
