import { join } from 'node:path'
import { systemClock, type Clock } from '../../src/time/clock.ts'
import type { CsiConfig, CsiRule } from '../../src/config/config.ts'
import { CSI_OBJECT_TYPES } from '../../src/config/config.ts'
import { createCsiProvider } from '../../src/csi/provider.ts'
import { startGrpcServer } from '../../src/grpc/server.ts'
import { createCsiMetrics } from '../../src/telemetry/metrics/roles.ts'
import { createVaultClient } from '../../src/vault/client/client.ts'
import { memoryLog } from '../fakes/log.ts'
import { CsiClient } from '../real/program/csi-client.ts'
import type { PodVault } from './pod-vault.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

export const ALLOW_ALL: CsiRule = {
  namespaces: ['*'],
  serviceAccounts: ['*'],
  roles: ['*'],
  keys: ['*'],
  types: CSI_OBJECT_TYPES,
}

export interface FixtureOptions extends Partial<CsiConfig> {
  readonly clock?: Clock
  /** Default: the address of the fixture's OpenBao. */
  readonly address?: string
  /** Default: none. */
  readonly vaultNamespace?: string
}

/** The section `csi` of a provider on the mount transit, for classes of any pod. */
export const CSI_CONFIG: CsiConfig = {
  socket: '',
  audience: 'vault',
  auth: { method: 'jwt', mount: 'jwt' },
  authByNamespace: [],
  mount: 'transit',
  refreshIntervalMs: 30_000,
  revalidateAfterMs: 600_000,
  rules: [ALLOW_ALL],
}

/** Runs the provider in this process, with a real socket and a real OpenBao. */
export async function startFixture(vault: PodVault, options: FixtureOptions = {}) {
  const { clock = systemClock, address = vault.bao.address, vaultNamespace, ...csi } = options
  const { log, lines } = memoryLog()
  const metrics = createCsiMetrics('test')
  const client = createVaultClient({
    addresses: [address],
    namespace: vaultNamespace,
    timeoutMs: 2_000,
    clock,
    log,
    metrics,
  })
  const provider = createCsiProvider({
    csi: { ...CSI_CONFIG, ...csi },
    transit: { mount: 'transit', key: 'k8s-etcd' },
    vaultNamespace,
    client,
    programVersion: '1.2.3',
    clock,
    log,
    metrics,
  })
  const socket = join(tempFolder('csi'), 'transit-bridge.sock')
  const server = await startGrpcServer({
    socket,
    access: { mode: 0o600 },
    services: provider.services,
    maxRequestBytes: 64 * 1024 * 1024,
    clock: systemClock,
    log,
  })
  const driver = new CsiClient(socket)
  return {
    driver,
    provider,
    metrics,
    log,
    lines,
    socket,
    stop: async () => {
      driver.close()
      await server.stop(1_000)
      await provider.stop({ deadline: clock.monotonic() + 2_000 })
      await client.close()
    },
  }
}

/** Returns the error of a failed Mount. Throws if the Mount succeeds. */
export async function failure(mount: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await mount
  } catch (error) {
    const { code, message } = error as { code: string; message: string }
    return { code, message }
  }
  throw new Error('the mount succeeded')
}

/** Requests of pods, as operation and path, without those of the test itself. */
export function podRequests(vault: PodVault, since: number): string[] {
  return vault.bao
    .auditRequests({ since })
    .filter(({ displayName, path }) => displayName !== 'root' && !path.startsWith('sys/'))
    .map(({ operation, path }) => `${operation} ${path}`)
}
