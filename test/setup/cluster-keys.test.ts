import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { exportJWK } from 'jose'
import { test } from 'tap'

import { parseJson, readIssuer, readJwks, readPem } from '../../src/setup/cluster-keys.ts'
import { fingerprint } from '../../src/setup/jwt-part.ts'
import { CertificateAuthority } from '../real/host/pki.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pem = (key: { export: typeof rsa.publicKey.export }) =>
  key.export({ type: 'spki', format: 'pem' })

void test('the keys of a JWKS are those that the cluster signs with, in PEM', async (t) => {
  const keys = [
    { ...(await exportJWK(rsa.publicKey)), alg: 'RS256', use: 'sig' },
    { ...(await exportJWK(ec.publicKey)), alg: 'ES256' },
  ]
  const found = await readJwks({ keys }, 'jwks.json')
  t.strictSame(found.map(fingerprint), [pem(rsa.publicKey), pem(ec.publicKey)].map(fingerprint))
})

void test('of a private key only the public half is used', async (t) => {
  const jwk = { ...(await exportJWK(ec.privateKey)), alg: 'ES256' }
  const [fromJwks] = await readJwks({ keys: [jwk] }, 'jwks.json')
  t.match(fromJwks, /^-----BEGIN PUBLIC KEY-----/)
  t.equal(fingerprint(fromJwks ?? ''), fingerprint(pem(ec.publicKey)))
  const text = rsa.privateKey.export({ type: 'pkcs8', format: 'pem' })
  t.strictSame(readPem(text, 'sa.key'), [pem(rsa.publicKey)])
})

void test('a file of kube-apiserver may contain several keys, certificates, and a key twice', async (t) => {
  const authority = await CertificateAuthority.create()
  const { certFile } = await authority.server()
  const text = [pem(rsa.publicKey), readFileSync(certFile, 'utf8'), pem(rsa.publicKey)].join('')
  const found = readPem(text, 'sa.pub')
  t.equal(found.length, 2)
  t.ok(found.every((one) => createPublicKey(one).type === 'public'))
})

void test('an invalid key is reported but never shown', async (t) => {
  const code = 'USAGE_INVALID'
  const broken = '-----BEGIN PUBLIC KEY-----\nc2VjcmV0\n-----END PUBLIC KEY-----'
  for (const text of ['', 'secret', broken]) {
    t.throws(() => readPem(text, 'sa.pub'), {
      code,
      message: /^sa\.pub contains (no key in PEM|a key that cannot be read)$/,
    })
  }
  for (const value of [undefined, {}, { keys: [] }, { keys: [{ kty: 'oct', k: 'secret' }] }]) {
    await t.rejects(readJwks(value, 'jwks.json'), { code, message: /^jwks\.json is not a JWKS/ })
  }
  await t.rejects(readJwks({ keys: [{ kty: 'RSA', n: 1 }] }, 'jwks.json'), {
    code,
    message: /contains a key that cannot be used/,
  })
})

void test('the issuer is read, or asked for', async (t) => {
  t.equal(readIssuer({ issuer: 'https://a' }, 'x'), 'https://a')
  t.throws(() => readIssuer(parseJson('no'), 'x'), {
    message: 'x names no issuer; pass --issuer ISSUER',
  })
})
