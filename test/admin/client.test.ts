import type { RequestListener } from 'node:http'
import { test } from 'tap'
import { createAdminApp } from '../../src/admin/app.ts'
import { askAdmin, readReadiness } from '../../src/admin/client.ts'
import { freePort } from '../real/host/port.ts'
import { serve } from './serve.ts'

const details = { keyId: 'tb1-x', keyVersion: 3, snapshotAgeSeconds: 1, offlineSecondsLeft: 60 }
const ADMIN = createAdminApp({
  isServing: () => true,
  readiness: () => ({ ready: false, reason: 'VAULT_SEALED', message: 'Vault is sealed', details }),
  renderMetrics: async () => ({ contentType: 'text/plain', body: Buffer.alloc(0) }),
})

void test('it reads what our own admin server reports, also when that is not ready', async (t) => {
  const address = await serve(t, ADMIN)
  t.match(await readReadiness(address), {
    ready: false,
    reason: 'VAULT_SEALED',
    message: 'Vault is sealed',
    details: { keyId: 'tb1-x', keyVersion: 3, offlineSecondsLeft: 60 },
  })
  t.same(await askAdmin(address, '/livez'), { status: 200, text: 'ok\n' })
})

const STRANGERS: readonly (readonly [string, RequestListener, RegExp])[] = [
  [
    'something else',
    (_, response) => void response.end('<html>'),
    /check that this is the address/,
  ],
  [
    'a redirect',
    (_, response) => void response.writeHead(302, { location: '/elsewhere' }).end(),
    /does not answer with HTTP/,
  ],
  [
    'an endless answer',
    (_, response) => void response.end(Buffer.alloc(10_000_000)),
    /does not answer with HTTP/,
  ],
]

for (const [what, answer, message] of STRANGERS) {
  void test(`${what} at the address is PLUGIN_UNREACHABLE`, async (t) => {
    const address = await serve(t, answer)
    await t.rejects(readReadiness(address), { code: 'PLUGIN_UNREACHABLE', message })
  })
}

void test('no server at the address is PLUGIN_UNREACHABLE, with the reason', async (t) => {
  const address = `http://127.0.0.1:${String(await freePort())}`
  await t.rejects(readReadiness(address), {
    code: 'PLUGIN_UNREACHABLE',
    message: `the plugin at ${address} refuses the connection; check that the plugin is running and that this is the address in admin.listen`,
  })
})
