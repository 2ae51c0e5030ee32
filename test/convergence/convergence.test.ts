import { test } from 'tap'

import { isSameServer } from '../../src/convergence/api-server-peers.ts'
import type { ApiServerReading, ApiServerView } from '../../src/convergence/api-server-view.ts'
import type { ClusterReading } from '../../src/convergence/cluster-reading.ts'
import { judgeConvergence, type Demand } from '../../src/convergence/convergence.ts'
import { explainAnswer, explainNoAnswer } from '../../src/kube/fault.ts'
import { readPlugin } from '../../src/convergence/plugin-view.ts'
import { hashKeyId } from '../../src/seed/key-id.ts'
import { BridgeError } from '../../src/errors.ts'
import { NAMED } from './named.ts'

function server(name: string, hash: string, more: Partial<ApiServerView> = {}): ApiServerView {
  return {
    server: name,
    keys: new Map([['tb', { hash, ageSeconds: 5 }]]),
    writes: [{ provider: 'tb', hash, at: 20 }],
    startedAt: 10,
    configHash: 'c',
    ...more,
  }
}

const plugin = (keyId: string) => ({
  address: 'p',
  ready: true,
  reason: 'ok',
  message: 'ok',
  keyId,
})

void test('all agree, and all have the wanted key', (t) => {
  const hash = hashKeyId('new')
  const reading = {
    ...NAMED,
    apiServers: [server('a', hash), server('b', hash)],
    plugins: [plugin('new')],
  }
  t.match(judgeConvergence(reading, { wanted: hash }), {
    isReached: true,
    reasons: [],
    configHashes: ['c'],
  })
  t.end()
})

void test('each reason is a separate sentence', (t) => {
  const [old, next] = [hashKeyId('old'), hashKeyId('new')]
  const silence = new BridgeError('KUBE_UNREACHABLE', 'b is not there')
  const cases: readonly (readonly [Parameters<typeof judgeConvergence>, RegExp])[] = [
    [
      [{ ...NAMED, apiServers: [server('a', old), server('b', next)], plugins: [] }],
      /have different keys of provider tb \(a: .*; b: /,
    ],
    [
      [{ ...NAMED, apiServers: [server('a', old), { server: 'b', silence }], plugins: [] }],
      /b is not there/,
    ],
    [
      [{ ...NAMED, apiServers: [server('a', old)], plugins: [] }, { wanted: next }],
      /a does not use key .* yet/,
    ],
    [
      [
        {
          ...NAMED,
          apiServers: [server('a', old, { fault: 'vault is unavailable' })],
          plugins: [],
        },
      ],
      /of a are unhealthy: vault is unavailable/,
    ],
    [
      [
        {
          ...NAMED,
          apiServers: [server('a', old), server('b', old, { configHash: 'd' })],
          plugins: [],
        },
      ],
      /different EncryptionConfigurations/,
    ],
    [
      [{ ...NAMED, apiServers: [server('a', old)], plugins: [plugin('new')] }],
      /which the API servers do not use yet/,
    ],
    [
      [{ ...NAMED, apiServers: [server('a', old)], plugins: [plugin('old')] }, { wanted: next }],
      /the plugin at p does not announce/,
    ],
    [
      [
        {
          ...NAMED,
          apiServers: [server('a', old)],
          plugins: [{ ...plugin('old'), ready: false, message: 'sealed' }],
        },
      ],
      /is not ready: sealed/,
    ],
    [
      [
        {
          ...NAMED,
          apiServers: [server('a', old)],
          plugins: [{ address: 'p', ready: true, reason: 'ok', message: 'ok' }],
        },
      ],
      /has no key yet/,
    ],
    [
      [{ ...NAMED, apiServers: [server('a', old)], plugins: [{ address: 'p', silence }] }],
      /b is not there/,
    ],
    [
      [
        {
          ...NAMED,
          apiServers: [
            server('a', old, { keys: new Map([['tb', { hash: old, ageSeconds: 200 }]]) }),
          ],
          plugins: [],
        },
      ],
      /a has not heard from its plugin tb for 200 s/,
    ],
  ]
  for (const [[reading, demand], reason] of cases) {
    const { isReached, reasons } = judgeConvergence(reading, demand)
    t.notOk(isReached)
    t.match(reasons.join('\n'), reason)
  }
  const [first] = cases[4] ?? []
  t.ok(first !== undefined && judgeConvergence(first[0], { configsMayDiffer: true }).isReached)
  t.end()
})

void test('which provider writes is proved by the hash of the file, or by a write since it was loaded', (t) => {
  const hash = hashKeyId('k')
  const judge = (views: ApiServerView[], demand: Demand = {}) =>
    judgeConvergence({ ...NAMED, apiServers: views, plugins: [] }, demand)
  const without = (name: string, more: Partial<ApiServerView> = {}) =>
    server(name, hash, { configHash: undefined, writes: [], ...more })
  const file = { configHash: 'c', writers: ['tb'] }
  const unproved = (name: string) => new RegExp(`^it is not proved that ${name} writes with tb`)
  t.match(judge([without('a')]).reasons, [unproved('a')], 'one API server is no proof either')
  t.match(judge([without('a'), without('b')]).reasons, [unproved('a'), unproved('b')])
  t.match(judge([server('a', hash), without('b')]).reasons, [unproved('b')])
  t.match(judge([without('a')], file).reasons, [/^it is not proved .* does not report the hash/])
  const writes = [{ provider: 'tb', hash, at: 20 }]
  t.same(judge([without('a', { writes })], file).reasons, [])
  t.match(judge([without('a', { writes, startedAt: 21 })], file).reasons, [unproved('a')])
  t.match(judge([without('a', { writes, reloadedAt: 21 })], file).reasons, [unproved('a')])
  t.match(judge([without('a')], { configHash: 'c', writers: [] }).reasons, [
    /^a does not report the hash .* not proved which provider writes/,
  ])
  t.match(judge([server('a', hash), server('b', hash)], { ...file, configHash: 'd' }).reasons, [
    /^a uses a different EncryptionConfiguration than the file/,
    /^b uses a different/,
  ])
  const both = judge([server('a', hash), server('b', hash)], file)
  t.match(both, { reasons: [], isFileProved: true, hashes: new Map([['tb', hash]]) })
  const vouched = judge([server('a', hash), without('b')], {
    configHash: 'd',
    configsMayDiffer: true,
  })
  t.match(vouched, { reasons: [], isFileProved: false })
  t.end()
})

void test('a key that an API server only reads with is not a write key', (t) => {
  const hash = hashKeyId('k')
  const judge = (view: ApiServerView, demand: Demand) =>
    judgeConvergence({ ...NAMED, apiServers: [view], plugins: [] }, demand)
  const reads = { configHash: 'c', writers: [] }
  t.same(judge(server('a', hash), reads).hashes, new Map())
  t.match(judge(server('a', hash), { ...reads, wanted: hash }).reasons, [/^a only reads with tb/])
  const none = server('a', hash, { keys: new Map(), writes: [] })
  t.match(judge(none, { configHash: 'c', writers: ['tb'], configsMayDiffer: true }).reasons, [
    /^a has no KMS v2 provider tb, which writes according to the file/,
  ])
  const keys = new Map([['tb', { hash, ageSeconds: 5, at: 100 }]])
  const writes = [{ provider: 'tb', hash: hashKeyId('old'), at: 101 }]
  t.match(judge(server('a', hash, { keys, writes }), {}).reasons, [/^a still encrypts with key/])
  t.end()
})

void test('API servers that were not read are a reason, no matter how they are found', (t) => {
  const hash = hashKeyId('k')
  const leases = (...hostnames: string[]) =>
    ({ kind: 'read', living: hostnames.map((hostname) => ({ id: hostname, hostname })) }) as const
  const unseen = (
    apiServers: ApiServerReading[],
    more: Partial<Pick<ClusterReading, 'leases' | 'source'>>,
  ) => judgeConvergence({ ...NAMED, apiServers, plugins: [], ...more }).unseen
  const [a, b] = [server('https://a', hash, { id: 'a' }), server('https://b', hash, { id: 'b' })]
  t.same(unseen([a, b], { leases: leases('a', 'b') }), [])
  t.match(unseen([a], { leases: leases('a', 'b', 'c') }), [
    /that were not read \(b, c\); .*--api-server/,
  ])
  t.match(unseen([server('https://a', hash)], { leases: leases('a', 'b') }), [
    /^1 API servers were not read/,
  ])
  const silent = { server: 'https://b', silence: new BridgeError('KUBE_UNREACHABLE', 'away') }
  t.same(unseen([a, silent], { leases: leases('a', 'b') }), [], 'it may be the silent one')
  t.match(unseen([a, silent], { leases: leases('a', 'b', 'c') }), [/that were not read/])
  t.match(unseen([a], { leases: { kind: 'denied' } }), [/cannot list the Leases/])
  t.match(unseen([a], { leases: { kind: 'failed' } }), [/could not be read/])
  t.same(unseen([a], { leases: { kind: 'denied' }, source: 'service' }), [])
  t.match(unseen([a], { leases: leases(), source: 'kubeconfig' }), [/^nothing shows whether/])
  t.match(unseen([a, { ...b, server: a.server }], {}), [
    /^at least 2 API servers answer at https:\/\/a, so it is the address of a load balancer/,
  ])
  t.end()
})

void test('two answers are of one API server if it may have restarted in between', (t) => {
  const at = (startedAt: number, readAt: number, id?: string) =>
    server('https://a', 'h', { startedAt, readAt, id })
  t.ok(isSameServer(at(100, 200), at(100, 210)), 'the same process')
  t.ok(isSameServer(at(100, 200), at(205, 210)), 'started after the other answered')
  t.notOk(isSameServer(at(100, 200), at(150, 210)), 'ran already when the other answered')
  t.notOk(isSameServer(at(100, 200, 'x'), at(100, 210, 'y')), 'another host')
  t.ok(
    isSameServer(server('https://a', 'h'), server('https://a', 'h')),
    'nothing distinguishes them',
  )
  t.end()
})

void test('what an API server and the network answer, in words', async (t) => {
  t.match(explainAnswer('s', 'GET /x', 401, {}), {
    code: 'KUBE_DENIED',
    message: /rejects the credentials/,
  })
  t.match(explainAnswer('s', 'GET /x', 403, '{"message":"no\\u0007 right"}'), {
    code: 'KUBE_DENIED',
    message: 'the API server denies GET /x: no right',
  })
  t.match(explainAnswer('s', 'GET /x', 503, 'busy'), {
    code: 'KUBE_BUSY',
    message: /503 for GET \/x: busy/,
  })
  t.match(explainAnswer('s', 'GET /x', 409, '{'), { code: 'KUBE_CONFLICT' })
  for (const [code, words] of [
    ['ECONNREFUSED', /refuses the connection/],
    ['ENOTFOUND', /host name that does not resolve/],
    ['EHOSTUNREACH', /no route to host/],
    ['ECONNRESET', /closed the connection/],
    ['CERT_HAS_EXPIRED', /has an expired certificate/],
    ['ERR_TLS_CERT_ALTNAME_INVALID', /other names/],
    ['ERR_SSL_WRONG_VERSION_NUMBER', /does not use TLS/],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', /rejects the client certificate/],
    ['ERR_OSSL_PEM_BAD_END_LINE', /do not match/],
    ['EUNKNOWN', /is unreachable \(EUNKNOWN\)/],
  ] as const) {
    t.match(explainNoAnswer('s', Object.assign(new Error('x'), { code })), {
      code: 'KUBE_UNREACHABLE',
      message: words,
    })
  }
  t.match(await readPlugin('http://127.0.0.1:1'), {
    silence: { code: 'PLUGIN_UNREACHABLE' },
  })
})
