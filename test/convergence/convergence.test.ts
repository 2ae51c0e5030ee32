import { test } from 'tap'

import type { ApiServerView } from '../../src/convergence/api-server-view.ts'
import { judgeConvergence, type Demand } from '../../src/convergence/convergence.ts'
import { explainAnswer, explainNoAnswer } from '../../src/kube/fault.ts'
import { readPlugin } from '../../src/convergence/plugin-view.ts'
import { hashKeyId } from '../../src/seed/key-id.ts'
import { BridgeError } from '../../src/errors.ts'

function server(name: string, hash: string, more: Partial<ApiServerView> = {}): ApiServerView {
  return {
    server: name,
    keys: new Map([['tb', { hash, ageSeconds: 5 }]]),
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
  const reading = { apiServers: [server('a', hash), server('b', hash)], plugins: [plugin('new')] }
  t.match(judgeConvergence(reading, { wanted: hash }), {
    isReached: true,
    reasons: [],
    configHashes: ['c'],
  })
  t.end()
})

void test('each reason why not is a sentence of its own', (t) => {
  const [old, next] = [hashKeyId('old'), hashKeyId('new')]
  const silence = new BridgeError('KUBE_UNREACHABLE', 'b is not there')
  const cases: readonly (readonly [Parameters<typeof judgeConvergence>, RegExp])[] = [
    [
      [{ apiServers: [server('a', old), server('b', next)], plugins: [] }],
      /have different keys of provider tb \(a: .*; b: /,
    ],
    [[{ apiServers: [server('a', old), { server: 'b', silence }], plugins: [] }], /b is not there/],
    [
      [{ apiServers: [server('a', old)], plugins: [] }, { wanted: next }],
      /a does not use key .* yet/,
    ],
    [
      [{ apiServers: [server('a', old, { fault: 'vault is away' })], plugins: [] }],
      /of a are unhealthy: vault is away/,
    ],
    [
      [{ apiServers: [server('a', old), server('b', old, { configHash: 'd' })], plugins: [] }],
      /different EncryptionConfigurations/,
    ],
    [
      [{ apiServers: [server('a', old)], plugins: [plugin('new')] }],
      /which the API servers do not use yet/,
    ],
    [
      [{ apiServers: [server('a', old)], plugins: [plugin('old')] }, { wanted: next }],
      /the plugin at p does not announce/,
    ],
    [
      [
        {
          apiServers: [server('a', old)],
          plugins: [{ ...plugin('old'), ready: false, message: 'sealed' }],
        },
      ],
      /is not ready: sealed/,
    ],
    [
      [
        {
          apiServers: [server('a', old)],
          plugins: [{ address: 'p', ready: true, reason: 'ok', message: 'ok' }],
        },
      ],
      /has no key yet/,
    ],
    [[{ apiServers: [server('a', old)], plugins: [{ address: 'p', silence }] }], /b is not there/],
    [
      [
        {
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

void test('which provider writes is proved by the hash of the file alone', (t) => {
  const hash = hashKeyId('k')
  const judge = (views: ApiServerView[], demand: Demand = {}) =>
    judgeConvergence({ apiServers: views, plugins: [] }, demand).reasons
  const without = (name: string) => server(name, hash, { configHash: undefined })
  t.same(judge([without('a')]), [], 'one API server agrees with itself')
  t.match(judge([without('a'), without('b')]), [
    /^a does not report the hash .* not proved which provider writes/,
    /^b does not report the hash/,
  ])
  t.match(judge([server('a', hash), without('b')]), [/^b does not report the hash/])
  t.match(judge([without('a')], { configHash: 'c' }), [/^a does not report the hash/])
  t.match(judge([server('a', hash), server('b', hash)], { configHash: 'd' }), [
    /^a uses another EncryptionConfiguration than the file/,
    /^b uses another/,
  ])
  t.same(judge([server('a', hash), server('b', hash)], { configHash: 'c' }), [])
  t.same(judge([server('a', hash), without('b')], { configHash: 'd', configsMayDiffer: true }), [])
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
