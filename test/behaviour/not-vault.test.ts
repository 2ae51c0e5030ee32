import { test } from 'tap'
import { freePort } from '../real/port.ts'
import { linesSaying, newSeed, outcomeOf, Fixture } from './fixture.ts'
import { eventually } from '../real/eventually.ts'

/** What stands in front of Vault, or at its address, and answers in its place. */
interface Row {
  readonly name: string
  readonly status: number
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

const ROWS: readonly Row[] = [
  { name: 'a gateway denies in JSON', status: 403, body: { message: 'forbidden' } },
  { name: 'a gateway denies in text', status: 403, body: 'RBAC: access denied' },
  { name: 'a gateway denies with objects', status: 403, body: { errors: [{ message: 'no' }] } },
  { name: 'a gateway denies with an empty list', status: 403, body: { errors: [] } },
  { name: 'a gateway denies with nothing', status: 403 },
  { name: 'a gateway knows no route, in JSON', status: 404, body: { message: 'no Route matched' } },
  { name: 'a gateway knows no route, in text', status: 404, body: 'default backend - 404' },
  { name: 'a gateway knows no route, in silence', status: 404 },
  { name: 'a gateway wants a login', status: 401, body: 'Unauthorized' },
  { name: 'a login page by redirect', status: 302, headers: { location: 'https://sso.test/' } },
  { name: 'a permanent redirect', status: 308, headers: { location: 'https://sso.test/' } },
  { name: 'a login page at once', status: 200, body: '<html>Sign in</html>' },
  { name: 'a maintenance page in JSON', status: 200, body: { status: 'maintenance' } },
  { name: 'an empty success', status: 204 },
  { name: 'a bad request', status: 400, body: '<html>400 Bad Request</html>' },
  { name: 'a proxy wants a login', status: 407 },
  { name: 'a request timeout', status: 408, body: '<html>408</html>' },
  { name: 'a page that is gone', status: 410, body: 'Gone' },
  { name: 'a misdirected request', status: 421 },
  { name: 'a request too early', status: 425, body: 'Too Early' },
  { name: 'headers that are too large', status: 431, body: 'too large' },
]

const fixture = await Fixture.open()
const proxy = await fixture.httpProxy()
const KMS = { refreshInterval: '1s', decryptCache: { enabled: true } }
const plugin = await fixture.startHealthy({ address: proxy.address, kms: KMS })
const seed = newSeed()
const wrapped = await plugin.client.encrypt(seed)
await plugin.client.decrypt(wrapped)

for (const { name, ...answer } of ROWS) {
  void test(`once Vault was proven, ${name} (${String(answer.status)}) is an outage`, async (t) => {
    const before = linesSaying(plugin, 'vault does not answer').length
    const recoveries = linesSaying(plugin, 'healthy').length
    proxy.respond(answer)
    t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'UNAVAILABLE' })
    await eventually('the outage in the log', () => {
      return linesSaying(plugin, 'vault does not answer').length > before
    })
    t.equal((await plugin.client.status()).healthz, 'ok', 'Status has its grace')
    t.strictSame(await plugin.client.decrypt(wrapped), seed, 'the cache is kept')
    proxy.clear()
    await eventually('the end of the outage in the log', () => {
      return linesSaying(plugin, 'healthy').length > recoveries
    })
    t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
  })
}

void test('Status was ok all the time, for the plugin and in its log', async (t) => {
  t.strictSame(linesSaying(plugin, 'unhealthy'), [])
})

for (const { name, ...answer } of ROWS) {
  void test(`before Vault was proven, ${name} (${String(answer.status)}) is reported in words`, async (t) => {
    const strange = await fixture.httpProxy(`http://127.0.0.1:${String(await freePort())}`)
    strange.respond(answer)
    const stranger = await fixture.start({ address: strange.address, kms: KMS })
    await stranger.waitForHealth(/is not from Vault|redirects to https:\/\/sso\.test/)
    await stranger.stop()
    t.pass()
  })
}

fixture.end()
