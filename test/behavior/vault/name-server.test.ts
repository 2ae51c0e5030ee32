// The host name of Vault: a name server that is silent, and names with several addresses.
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import { NameServer } from '../../real/faults/name-server.ts'
import { eventually } from '../../real/host/eventually.ts'
import { whyNoMounts } from '../../real/host/mount-namespace.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'

const NAME = 'vault.internal'
const skip = whyNoMounts()
const authority = await CertificateAuthority.create('authority')
const tls = await authority.server('vault', { names: [NAME, '::1'] })
const fixture = await Fixture.open({ tls })
const { bao } = fixture
const KMS = { refreshInterval: '1s', outageGrace: '0s' }

async function serveNames(t: Test, addresses: readonly string[]): Promise<NameServer> {
  const names = await NameServer.start(addresses)
  t.teardown(() => names.stop())
  return names
}

/** Passes connections to ::1 on to Vault, which listens on 127.0.0.1 only. */
async function serveIPv6(t: Test): Promise<number> {
  const server = createServer((client) => {
    const upstream = connect(bao.port, '127.0.0.1')
    client.pipe(upstream).pipe(client)
    client.on('error', () => upstream.destroy())
    upstream.on('error', () => client.destroy())
  }).listen(0, '::1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

async function startWith(names: NameServer, port = bao.port) {
  const address = `https://${NAME}:${String(port)}`
  const plugin = await fixture.launch({ address, kms: KMS }, names.wrap)
  await plugin.waitForSocket()
  return plugin
}

void test(
  'a name server that is silent is the reason in Status and of calls',
  { skip },
  async (t) => {
    const names = await serveNames(t, ['127.0.0.1'])
    const plugin = await startWith(names)
    await plugin.waitForHealth('ok')
    names.isSilent = true
    await bao.restart()
    const reason = /the lookup of its host name has not ended; check the name servers of this host/
    await plugin.waitForHealth(reason)
    await eventually('the reason of a call', async () => {
      return reason.test((await outcomeOf(plugin.client.encrypt(newSeed()))).message)
    })
    names.isSilent = false
    await plugin.waitForHealth('ok')
    t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
    await plugin.stop()
    const { code, signal } = await plugin.program.exited
    // SIGTERM, if a lookup that began while it was silent has not ended.
    t.ok(code === 0 || signal === 'SIGTERM', String(code))
  },
)

void test(
  'an /etc/resolv.conf or /etc/hosts that was replaced is read for the next connection',
  { skip },
  async (t) => {
    const names = await serveNames(t, ['127.0.0.1'])
    const other = await serveNames(t, ['127.0.0.77'])
    const plugin = await startWith(names)
    await plugin.waitForHealth('ok')
    names.replace('resolv.conf', `nameserver ${other.host}\n`)
    await bao.restart()
    await plugin.waitForHealth(/refused/)
    names.replace('hosts', `127.0.0.1 ${NAME}\n`)
    await plugin.waitForHealth('ok')
    names.replace('hosts', `127.0.0.77 ${NAME}\n`)
    await bao.restart()
    await plugin.waitForHealth(/refused/)
    names.replace('hosts', '127.0.0.1 localhost\n')
    other.addresses = ['127.0.0.1']
    await plugin.waitForHealth('ok')
    t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
    t.equal(await plugin.stop(), 0)
  },
)

for (const [what, addresses] of [
  ['where nothing listens first', ['127.0.0.77', '127.0.0.1']],
  ['of both families, and Vault listens on IPv4', ['::1', '127.0.0.1']],
] as const) {
  void test(`a name with addresses ${what}`, { skip }, async (t) => {
    const plugin = await startWith(await serveNames(t, addresses))
    await plugin.waitForHealth('ok')
    t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
    t.equal(await plugin.stop(), 0)
  })
}

void test('a name whose address changes: the next connection follows', { skip }, async (t) => {
  const names = await serveNames(t, ['127.0.0.1'])
  const plugin = await startWith(names)
  await plugin.waitForHealth('ok')
  names.addresses = ['127.0.0.77']
  await bao.restart()
  await plugin.waitForHealth(/vault\.internal:\d+ is unreachable: connection refused/)
  names.addresses = ['127.0.0.1']
  await plugin.waitForHealth('ok')
  t.equal(await plugin.stop(), 0)
})

void test('addresses of IPv6, by name and by number', { skip }, async (t) => {
  const port = await serveIPv6(t)
  const named = await startWith(await serveNames(t, ['::1', '127.0.0.77']), port)
  const numbered = await fixture.start({ address: `https://[::1]:${String(port)}`, kms: KMS })
  for (const plugin of [named, numbered]) {
    await plugin.waitForHealth('ok')
    const seed = newSeed()
    t.same(await plugin.client.decrypt(await plugin.client.encrypt(seed)), seed)
    t.equal(await plugin.stop(), 0)
  }
})

fixture.end()
