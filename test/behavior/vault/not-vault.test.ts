import { test, type Test } from 'tap'
import { freePort } from '../../real/host/port.ts'
import { linesSaying, newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

/** What is in front of Vault, or at its address, and answers in its place. */
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

const KMS = { refreshInterval: '1s', decryptCache: { enabled: true } }

/** A row mostly waits for the next check of its plugin, so this many plugins work through the rows side by side. */
const LANES = 3

const fixture = await Fixture.open()

function titleOf({ name, status }: Row): string {
  return `${name} (${String(status)})`
}

/** A response by something else is an outage: the grace applies, and what is cached stays readable. */
async function surviveRows(t: Test, rows: readonly Row[]): Promise<void> {
  const proxy = await fixture.httpProxy()
  const plugin = await fixture.startHealthy({ address: proxy.address, kms: KMS })
  const seed = newSeed()
  const wrapped = await plugin.client.encrypt(seed)
  await plugin.client.decrypt(wrapped)
  const seesAnother = (...words: string[]) => {
    const count = () => words.flatMap((each) => linesSaying(plugin, each)).length
    const before = count()
    return () => count() > before
  }
  for (const row of rows) {
    await t.test(titleOf(row), async (t) => {
      const isOut = seesAnother('Vault does not answer', 'unhealthy')
      proxy.respond(row)
      t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'UNAVAILABLE' })
      await eventually('the outage in the log', isOut)
      t.equal((await plugin.client.status()).healthz, 'ok', 'Status has its grace')
      t.strictSame(await plugin.client.decrypt(wrapped), seed, 'the cache is kept')
      const isBack = seesAnother('healthy')
      proxy.clear()
      await eventually('the end of the outage in the log', isBack)
      t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
    })
  }
  t.strictSame(linesSaying(plugin, 'unhealthy'), [], 'Status was never unhealthy')
}

void test('once Vault was proven, these are an outage:', { jobs: LANES }, async (t) => {
  for (let lane = 0; lane < LANES; lane += 1) {
    const rows = ROWS.filter((_, index) => index % LANES === lane)
    void t.test(`plugin ${String(lane + 1)}`, { buffered: true }, (t) => surviveRows(t, rows))
  }
  await Promise.resolve()
})

void test(
  'before Vault was proven, Status reports each with its cause:',
  { jobs: LANES },
  async (t) => {
    for (const row of ROWS) {
      void t.test(titleOf(row), { buffered: true }, async (t) => {
        const strange = await fixture.httpProxy(`http://127.0.0.1:${String(await freePort())}`)
        strange.respond(row)
        const plugin = await fixture.start({ address: strange.address, kms: KMS })
        const isRedirect = row.headers !== undefined
        await plugin.waitForHealth(
          isRedirect
            ? /redirects to https:\/\/sso\.test/
            : new RegExp(`is not from Vault \\(status ${String(row.status)}, `),
        )
        t.equal(await plugin.stop(), 0)
      })
    }
    await Promise.resolve()
  },
)

fixture.end()
