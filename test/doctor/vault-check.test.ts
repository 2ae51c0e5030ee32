import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'tap'

import { systemClock } from '../../src/time/clock.ts'
import { viewVault, type VaultView } from '../../src/doctor/vault-probe.ts'
import { checkVault } from '../../src/doctor/vault-check.ts'
import { OpenBao } from '../real/vault/openbao.ts'
import { CertificateAuthority } from '../real/host/pki.ts'
import { parse, VALID } from '../config/valid-config.ts'

const DAY = 24 * 3600_000
const clock = { ...systemClock, now: () => 1_800_000_000_000 }
const answering = {
  address: 'https://vault.example.com:8200',
  health: { initialized: true, sealed: false, version: '2.7.2' },
}

function about(what: string, view: object) {
  return checkVault([{ ...answering, certificates: [], ...view }], clock).find(
    (one) => one.what === what,
  )
}

void test('any certificate of the chain that expires soon is reported', async (t) => {
  const certificates = [
    { name: 'vault', expiresAt: clock.now() + 200 * DAY },
    { name: 'between', expiresAt: clock.now() + 10 * DAY },
  ]
  t.match(about('vault tls', { certificates }), {
    level: 'warn',
    why: /"between", the first .*, expires in 10 days/,
  })
  t.match(about('vault tls', { certificates: certificates.slice(0, 1) }), { level: 'ok' })
})

void test('a wrong clock warns, and fails if tokens would', async (t) => {
  t.match(about('clock', { time: clock.now() - 1_000 }), { level: 'ok' })
  t.match(about('clock', { time: clock.now() - 20_000 }), { level: 'warn', why: /20 s ahead of/ })
  t.match(about('clock', { time: clock.now() + 600_000 }), { level: 'fail', why: /10 min behind/ })
})

for (const [version, level] of [
  ['1.12.11', 'fail'],
  ['1.12.0+ent', 'fail'],
  ['1.9.10', 'fail'],
  ['0.11.6', 'fail'],
  ['1.13.0', undefined],
  ['1.17.6+ent.hsm', undefined],
  ['2.7.2', undefined],
  ['unknown', undefined],
] as const) {
  void test(`Vault ${version} is ${level === undefined ? 'accepted' : 'too old for associated_data'}`, async (t) => {
    const health = { ...answering.health, version }
    t.equal(about('vault version', { health })?.level, level)
  })
}

void test('an address that does not answer warns if another one does, and fails if none does', async (t) => {
  const silent = { address: 'https://a.example.com', problem: 'no answer', certificates: [] }
  const levels = (...views: readonly VaultView[]) =>
    checkVault(views, clock)
      .filter(({ what }) => what === 'vault reach')
      .map(({ level }) => level)
  t.same(levels(silent, { ...answering, certificates: [] }), ['warn', 'ok'])
  t.same(levels(silent, { ...silent, address: 'https://b.example.com' }), ['fail', 'fail'])
})

void test('a Vault that is not initialized fails', async (t) => {
  const health = { ...answering.health, initialized: false }
  t.match(about('vault seal', { health }), { level: 'fail', why: /is not initialized/ })
})

void test('the chain of a real server is read, and an untrusted authority is explained', async (t) => {
  const [authority, other] = await Promise.all([
    CertificateAuthority.create('one'),
    CertificateAuthority.create('other'),
  ])
  const tls = await authority.server('vault', { expiresIn: 5 * 24 * 3600 })
  const bao = await OpenBao.start({ tls, audit: false })
  t.teardown(() => bao.stop())
  const config = (caFile: string) =>
    parse(VALID.replace('  timeout: 2s', `  caFile: ${caFile}`)).vault
  const view = await viewVault(bao.address, config(authority.caFile))
  t.match(view, { health: { sealed: false }, certificates: [{ name: 'vault' }] })
  t.match(
    checkVault([view], systemClock).find(({ what }) => what === 'vault tls'),
    {
      level: 'warn',
      why: /certificate "(vault|one)", .* expires in/,
    },
  )
  const refused = await viewVault(bao.address, config(other.caFile))
  t.match(refused.problem, /has a certificate that is signed by an untrusted authority/)
  t.match(await viewVault(bao.address, config('/nowhere.pem')), {
    problem: /vault\.caFile: \/nowhere\.pem/,
  })
})

for (const [what, respond, problem] of [
  ['is too long', (response) => response.end('x'.repeat(200_000)), /is not Vault/],
  [
    'is cut off',
    (response) =>
      response.writeHead(200, { 'content-length': 100 }).write('{', () => response.destroy()),
    /is unreachable: the connection was reset/,
  ],
  [
    'never ends',
    (response) => {
      const timer = setInterval(() => response.write(' '), 500)
      response.on('close', () => clearInterval(timer))
    },
    /is unreachable: the connection timed out/,
  ],
] satisfies [string, (response: ServerResponse) => void, RegExp][]) {
  void test(`a response to sys/health that ${what} is a problem of that address`, async (t) => {
    const server = createServer((_request, response) => respond(response))
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => server.close())
    const { port } = server.address() as AddressInfo
    const view = await viewVault(`http://127.0.0.1:${String(port)}`, parse(VALID).vault)
    t.match(view.problem, problem)
    t.match(about('vault reach', view), { level: 'fail' })
  })
}
