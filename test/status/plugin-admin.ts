import type { Test } from 'tap'

import { createAdminApp } from '../../src/admin/app.ts'
import { serve } from '../admin/serve.ts'

/** The address of a plugin's admin server; it is ready, with this fault of its sealed file. */
export async function servePluginAdmin(t: Test, sealedFileFault?: string): Promise<string> {
  const details = { sealedFileFault }
  const app = createAdminApp({
    isServing: () => true,
    readiness: () => ({ ready: true, reason: 'ok', message: 'ok', details }),
    renderMetrics: async () => ({ contentType: 'text/plain', body: Buffer.alloc(0) }),
  })
  return serve(t, app)
}
