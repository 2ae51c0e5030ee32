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

void test('a JWT-SVID needs neither an issuer nor Kubernetes claims', async (t) => {
  const { claims } = decode({ sub: 'spiffe://x', aud: 'vault', exp: 2e9 })
  t.match(claims, {
    issuer: undefined,
    subject: 'spiffe://x',
    audiences: ['vault'],
    expiresAt: 2e12,
  })
  t.equal(claims.pod, undefined)
})

void test('a token without an audience has none', async (t) => {
  t.strictSame(decode({ ...projectedPayload, aud: undefined }).claims.audiences, [])
})

void test('a claim of an unknown form counts as absent and is named', async (t) => {
  const cases: [object, string][] = [
    [{ exp: '2026-01-01' }, 'exp'],
    [{ iss: '' }, 'iss'],
    [{ aud: [1] }, 'aud'],
    [{ nbf: 'now' }, 'nbf'],
    [{ 'kubernetes.io': { pod: { name: 'x' } } }, 'kubernetes.io.pod.uid'],
    [{ 'kubernetes.io': 'x' }, 'kubernetes.io'],
  ]
  for (const [change, claim] of cases) {
    const { claims, malformedClaim } = decode({ ...projectedPayload, ...change })
    t.match(malformedClaim, claim)
    t.equal(claims.subject, projectedPayload.sub, 'the other claims are read')
  }
  t.equal(decode(projectedPayload).malformedClaim, undefined)
})

void test('a legacy token without an expiry is read', async (t) => {
  t.equal(decode({ ...projectedPayload, exp: undefined }).claims.expiresAt, undefined)
})

void test('what is not a JWT is refused and is not repeated in the message', async (t) => {
  const cases = {
    'a Vault token': 'hvs.CAESIJ-not-a-jwt',
    'two parts': unsigned(projectedPayload).split('.').slice(0, 2).join('.'),
    'five parts': 'eyJhbGciOiJkaXIifQ.a.b.c.d',
    'a payload that is not JSON': `${unsigned({}).split('.')[0]}.bm90IGpzb24.c2ln`,
    'a payload that is a list': unsigned([1]),
    'a header that is not JSON': `bm90IGpzb24.${unsigned({}).split('.')[1]}.c2ln`,
  }
  for (const [name, jwt] of Object.entries(cases)) {
    t.throws(
      () => decodeServiceAccountToken(jwt, place),
      {
        code: 'IDENTITY_INVALID',
        cause: undefined,
        message:
          /^the token of pod shop\/web is not a JWT \(three base64url parts joined by dots\); it must be/,
      },
      name,
    )
  }
})
