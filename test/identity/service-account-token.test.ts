import { test } from 'tap'
import { decodeServiceAccountToken } from '../../src/identity/service-account-token.ts'
import { projectedPayload, unsigned } from './claims.ts'

const place = 'the token of pod shop/web'
const decode = (payload: unknown) => decodeServiceAccountToken(unsigned(payload), place)

void test('the claims of a projected token are read', async (t) => {
  const { token, claims } = decode(projectedPayload)
  t.equal(token.reveal(), unsigned(projectedPayload))
  t.strictSame(claims, {
    issuer: 'https://kubernetes.default.svc.cluster.local',
    subject: 'system:serviceaccount:kube-system:transit-bridge',
    audiences: ['vault'],
    expiresAt: Date.UTC(2026, 0, 1, 1),
    notBefore: Date.UTC(2026, 0, 1),
    issuedAt: Date.UTC(2026, 0, 1),
    namespace: 'kube-system',
    serviceAccount: { name: 'transit-bridge', uid: '2b5c8a1e-0000-4000-8000-000000000003' },
    pod: { name: 'installer-x', uid: '2b5c8a1e-0000-4000-8000-000000000002' },
    node: 'cp-1',
  })
})

void test('a JWT that was made elsewhere needs no Kubernetes claims', async (t) => {
  const { claims } = decode({ iss: 'https://idp', sub: 'spiffe://x', aud: 'vault', exp: 2e9 })
  t.match(claims, { issuer: 'https://idp', audiences: ['vault'], expiresAt: 2e12 })
  t.equal(claims.pod, undefined)
})

void test('a token without an audience has none', async (t) => {
  t.strictSame(decode({ ...projectedPayload, aud: undefined }).claims.audiences, [])
})

void test('a token with one thing wrong is refused in words', async (t) => {
  const cases: [string, unknown, RegExp][] = [
    ['no exp', { exp: undefined }, /without a usable exp claim, so it never ends: use a projected/],
    ['exp as text', { exp: '2026-01-01' }, /usable exp claim/],
    ['no issuer', { iss: undefined }, /usable iss claim/],
    ['empty issuer', { iss: '' }, /usable iss claim/],
    ['no subject', { sub: undefined }, /usable sub claim/],
    ['audience of numbers', { aud: [1] }, /usable aud/],
    ['nbf as text', { nbf: 'now' }, /usable nbf claim/],
    [
      'pod without a uid',
      { 'kubernetes.io': { pod: { name: 'x' } } },
      /usable kubernetes.io.pod.uid/,
    ],
    ['kubernetes.io as text', { 'kubernetes.io': 'x' }, /usable kubernetes.io claim/],
  ]
  for (const [name, change, message] of cases) {
    const changed = { ...projectedPayload, ...(change as object) }
    t.throws(() => decode(changed), { code: 'IDENTITY_INVALID', message }, name)
  }
})

void test('what is no JWT is refused, and is not repeated in the message', async (t) => {
  const cases = {
    'a Vault token': 'hvs.CAESIJ-not-a-jwt',
    'two parts': unsigned(projectedPayload).split('.').slice(0, 2).join('.'),
    'five parts': 'eyJhbGciOiJkaXIifQ.a.b.c.d',
    'a payload that is no JSON': `${unsigned({}).split('.')[0]}.bm90IGpzb24.c2ln`,
    'a payload that is a list': unsigned([1]),
    'a header that is no JSON': `bm90IGpzb24.${unsigned({}).split('.')[1]}.c2ln`,
  }
  for (const [name, jwt] of Object.entries(cases)) {
    t.throws(
      () => decodeServiceAccountToken(jwt, place),
      {
        code: 'IDENTITY_INVALID',
        cause: undefined,
        message: /^the token of pod shop\/web is not a JWT; it must be a service-account token \(/,
      },
      name,
    )
  }
})
