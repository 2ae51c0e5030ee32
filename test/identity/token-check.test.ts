import { test } from 'tap'
import { decodeServiceAccountToken } from '../../src/identity/service-account-token.ts'
import { checkServiceAccountToken } from '../../src/identity/token-check.ts'
import { projectedPayload, unsigned } from './claims.ts'

const { claims } = decodeServiceAccountToken(unsigned(projectedPayload), 'test')
const expectations = { audience: 'vault', issuer: claims.issuer }
const issued = Date.UTC(2026, 0, 1)
const minute = 60_000

void test('a token that fits is accepted, and so is one of which nothing is expected', async (t) => {
  t.doesNotThrow(() => checkServiceAccountToken(claims, expectations, issued))
  t.doesNotThrow(() => checkServiceAccountToken(claims, {}, issued))
  const several = { ...claims, audiences: ['api', 'vault'] }
  t.doesNotThrow(() => checkServiceAccountToken(several, expectations, issued))
})

void test('a clock may be wrong by less than a minute', async (t) => {
  t.doesNotThrow(() => checkServiceAccountToken(claims, expectations, issued - minute))
  t.doesNotThrow(() => checkServiceAccountToken(claims, expectations, issued + 61 * minute - 1))
})

void test('a token with one thing wrong is refused with what to do', async (t) => {
  const cases: [string, object, number, string][] = [
    [
      'expired',
      {},
      issued + 3 * 60 * minute,
      "vault.auth.tokenFile: the service-account token expired at 2026-01-01T01:00:00.000Z (2 h ago); the kubelet or the installer no longer refreshes it, or this host's clock is wrong",
    ],
    [
      'not yet valid',
      {},
      issued - 10 * minute,
      "vault.auth.tokenFile: the service-account token is valid only from 2026-01-01T00:00:00.000Z (in 10 min); this host's clock is behind that of the API server",
    ],
    [
      'another audience',
      { audiences: ['https://kubernetes.default.svc'] },
      issued,
      'vault.auth.tokenFile: the service-account token has audience "https://kubernetes.default.svc", but vault.auth.audience is "vault"; ask for that audience where the token is made, or correct vault.auth.audience',
    ],
    [
      'another issuer',
      { issuer: 'https://other' },
      issued,
      'vault.auth.tokenFile: the service-account token is of issuer "https://other", but vault.auth.issuer is "https://kubernetes.default.svc.cluster.local"; is it the token of another cluster?',
    ],
  ]
  for (const [name, change, now, message] of cases) {
    t.throws(
      () => checkServiceAccountToken({ ...claims, ...change }, expectations, now),
      { code: 'IDENTITY_INVALID', message },
      name,
    )
  }
})

void test('a message names the places of whoever asks', async (t) => {
  const places = {
    token: 'the token of pod shop/web',
    audience: 'csi.audience',
    issuer: 'csi.issuer',
    refresher: 'the CSI driver',
  }
  t.throws(() => checkServiceAccountToken(claims, { audience: 'bao' }, issued, places), {
    message: /^the token of pod shop\/web: .* but csi.audience is "bao"/,
  })
  t.throws(() => checkServiceAccountToken(claims, {}, issued + 1e9, places), {
    message: /the CSI driver no longer refreshes it/,
  })
})

void test('claims from outside cannot break a message', async (t) => {
  const cases: [object, RegExp][] = [
    [{ issuer: 'a\nb' }, /issuer "a\\nb", but/],
    [{ issuer: 'x'.repeat(10_000) }, /issuer "x{200}…", but/],
    [
      { audiences: Array.from({ length: 90 }, (_, index) => String(index)), issuer: claims.issuer },
      /"4", 85 more, but/,
    ],
    [{ audiences: [] }, /has no audience, but/],
    [{ expiresAt: -1e300 }, /expired at -1e\+297 s since 1970/],
  ]
  for (const [change, message] of cases) {
    t.throws(() => checkServiceAccountToken({ ...claims, ...change }, expectations, issued), {
      message,
    })
  }
})
