import { test } from 'tap'
import { decodeServiceAccountToken } from '../../src/identity/service-account-token.ts'
import { findTokenProblem } from '../../src/identity/token-check.ts'
import { projectedPayload, unsigned } from './claims.ts'

const { claims } = decodeServiceAccountToken(unsigned(projectedPayload), 'test')
const expectations = { audience: 'vault', issuer: claims.issuer }
const issued = Date.UTC(2026, 0, 1)
const minute = 60_000

void test('a token that matches has no problem, nor has one without expectations', async (t) => {
  t.equal(findTokenProblem(claims, expectations, issued), undefined)
  t.equal(findTokenProblem(claims, {}, issued), undefined)
  const several = { ...claims, audiences: ['api', 'vault'] }
  t.equal(findTokenProblem(several, expectations, issued), undefined)
  const svid = { subject: 'spiffe://x', audiences: ['vault'] }
  t.equal(findTokenProblem(svid, expectations, issued), undefined, 'without issuer and expiry')
})

void test('a clock may be wrong by less than a minute', async (t) => {
  t.equal(findTokenProblem(claims, expectations, issued - minute), undefined)
  t.equal(findTokenProblem(claims, expectations, issued + 61 * minute - 1), undefined)
})

void test('each problem is explained with what to do', async (t) => {
  const cases: [string, object, number, string][] = [
    [
      'expired',
      {},
      issued + 3 * 60 * minute,
      "vault.auth.tokenFile: the token expired at 2026-01-01T01:00:00.000Z (2 h ago): the kubelet or the installer no longer refreshes it, or this host's clock is wrong",
    ],
    [
      'not yet valid',
      {},
      issued - 10 * minute,
      "vault.auth.tokenFile: the token is valid only from 2026-01-01T00:00:00.000Z (in 10 min): this host's clock is behind that of the token's issuer",
    ],
    [
      'another audience',
      { audiences: ['https://kubernetes.default.svc'] },
      issued,
      'vault.auth.tokenFile: the token has audience "https://kubernetes.default.svc", but vault.auth.audience is "vault": request that audience where the token is issued, or correct vault.auth.audience',
    ],
    [
      'another issuer',
      { issuer: 'https://other' },
      issued,
      'vault.auth.tokenFile: the token has issuer "https://other", but vault.auth.issuer is "https://kubernetes.default.svc.cluster.local": is it the token of another cluster?',
    ],
  ]
  for (const [name, change, now, message] of cases) {
    t.equal(findTokenProblem({ ...claims, ...change }, expectations, now), message, name)
  }
})

void test('an explanation names the places that its reader can change', async (t) => {
  const places = {
    token: 'the token of pod shop/web',
    audience: 'csi.audience',
    issuer: 'csi.issuer',
    refresher: 'the CSI driver',
  }
  t.match(
    findTokenProblem(claims, { audience: 'bao' }, issued, places),
    /^the token of pod shop\/web: .* but csi.audience is "bao"/,
  )
  t.match(findTokenProblem(claims, {}, issued + 1e9, places), /the CSI driver no longer refreshes/)
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
    t.match(findTokenProblem({ ...claims, ...change }, expectations, issued), message)
  }
})
