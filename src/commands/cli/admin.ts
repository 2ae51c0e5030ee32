import type { AdminSources } from '../../admin/app.ts'
import type { AdminServer } from '../../admin/server.ts'
import type { ProviderConfig } from '../../config/config.ts'
import type { Telemetry } from './telemetry.ts'

/** Starts the admin server, unless `admin.listen` is none. It is loaded after the socket is served. */
export async function startAdmin(
  config: ProviderConfig,
  { clock, log }: Telemetry,
  loadSources: () => Promise<AdminSources>,
): Promise<AdminServer | undefined> {
  const { listen } = config.admin
  if (listen === undefined) return undefined
  const [{ startAdminServer }, sources] = await Promise.all([
    import('../../admin/server.ts'),
    loadSources(),
  ])
  return startAdminServer({ listen, sources, clock, log })
}
