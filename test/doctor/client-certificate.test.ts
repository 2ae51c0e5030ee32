import { chmodSync } from 'node:fs'
import { test } from 'tap'

import { checkClientCertificate } from '../../src/doctor/client-certificate-check.ts'
import { viewVault } from '../../src/doctor/vault-probe.ts'
import { OpenBao } from '../real/vault/openbao.ts'
import { CertificateAuthority } from '../real/host/pki.ts'
import { parse, VALID } from '../config/valid-config.ts'

const authority = await CertificateAuthority.create('authority')
const stranger = await CertificateAuthority.create('stranger')
const DAY_SECONDS = 24 * 3600

/** The configuration with these lines in the section vault. */
function configure(...lines: readonly string[]) {
  return parse(VALID.replace('  timeout: 2s', lines.map((line) => `  ${line}`).join('\n'))).vault
}

void test('doctor presents the client certificate, and names the keys if Vault wants one', async (t) => {
  const server = await authority.server('vault')
  const [operator, node] = [await authority.client('operator'), await authority.client('node')]
  const { caFile } = authority
  const tls = { ...server, caFile, clientCaFile: caFile, required: operator }
  const bao = await OpenBao.start({ tls, audit: false })
  t.teardown(() => bao.stop())
  const view = (...lines: readonly string[]) =>
    viewVault(bao.address, configure(`caFile: ${caFile}`, ...lines))
  const present = ({ certFile, keyFile }: typeof node) => [
    `clientCertFile: ${certFile}`,
    `clientKeyFile: ${keyFile}`,
  ]

  t.match(await view(...present(node)), { health: { sealed: false }, problem: undefined })
  t.match(await view(), { problem: /requires a client certificate; set vault\.clientCertFile/ })
  const wrong = present(await stranger.client('node'))
  t.match(await view(...wrong), { problem: /refuses the client certificate; check vault\.client/ })
  t.match(await view('clientCertFile: /nowhere.pem', 'clientKeyFile: /nowhere.key'), {
    problem: /vault\.clientCertFile: \/nowhere\.pem cannot be read/,
  })
})

void test('the client certificate and its key are checked with any login method', async (t) => {
  const check = (files: { certFile: string; keyFile: string }) =>
    checkClientCertificate({ ...files, section: 'vault' }, Date.now(), [])
  t.strictSame(await checkClientCertificate(undefined, Date.now(), []), [])

  const good = await authority.client('good', { expiresIn: 90 * DAY_SECONDS })
  chmodSync(good.keyFile, 0o600)
  t.match(await check(good), [
    { level: 'ok', what: 'client certificate' },
    { level: 'ok', why: /good\.pem \("CN=good"\) expires in 90 days|in 89 days/ },
  ])
  chmodSync(good.keyFile, 0o644)
  t.match(await check(good), [{ level: 'fail', why: /good\.key has mode 0644/ }, { level: 'ok' }])

  const soon = await authority.client('soon', { expiresIn: 5 * DAY_SECONDS })
  t.match((await check(soon))[1], { level: 'warn', why: /soon\.pem .* expires in/ })
  const expired = await authority.client('expired', { expiresIn: -DAY_SECONDS })
  t.match((await check(expired))[1], { level: 'fail', why: /expired\.pem .* expired .* ago/ })
  const mixed = { certFile: good.certFile, keyFile: soon.keyFile }
  t.match((await check(mixed))[1], {
    level: 'fail',
    why: /vault\.clientKeyFile: .*soon\.key does not match vault\.clientCertFile/,
  })
})
