import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

import { createAdminApp } from '../../src/admin/app.ts'

/** The address of a plugin's admin server; it is ready, with this fault of its sealed file. */
export async function servePluginAdmin(t: Test, sealedFileFault?: string): Promise<string> {
  const details = { sealedFileFault }
  const app = createAdminApp({
    isServing: () => true,
    readiness: () => ({ ready: true, reason: 'ok', message: 'ok', details }),
    renderMetrics: async () => ({ contentType: 'text/plain', body: Buffer.alloc(0) }),
  })
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
}
