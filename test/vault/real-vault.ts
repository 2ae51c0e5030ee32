import { systemClock, type Clock } from '../../src/time/clock.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { createKmsMetrics } from '../../src/telemetry/metrics/roles.ts'
import { createVaultClient, type VaultClient } from '../../src/vault/client/client.ts'
import type { TlsFiles } from '../../src/vault/tls/tls-files.ts'
import { OpenBao, type OpenBaoOptions } from '../real/vault/openbao.ts'

export interface RealVault {
  readonly bao: OpenBao
  readonly client: VaultClient
  /** What Vault reports about a token to root; undefined if it does not know the token. */
  readonly lookUp: (token: string) => Promise<TokenFacts | undefined>
  readonly stop: () => Promise<void>
}

export interface TokenFacts {
  readonly type: string
  readonly ttl: number
}

/** A running OpenBao and our client of it. */
export async function startVault(
  options: OpenBaoOptions & { client?: TlsFiles; clock?: Clock } = {},
): Promise<RealVault> {
  const { client: tlsFiles = {}, clock = systemClock, ...server } = options
  const bao = await OpenBao.start(server)
  const client = createVaultClient({
    ...tlsFiles,
    addresses: [bao.address],
    timeoutMs: 2_000,
    clock,
    log: createLogger('silent'),
    metrics: createKmsMetrics('test'),
  })
  return {
    bao,
    client,
    lookUp: async (token) => {
      const { status, body } = await bao.request('POST', 'auth/token/lookup', { token })
      return status === 200 ? body.data : undefined
    },
    stop: async () => {
      await client.close()
      await bao.stop()
    },
  }
}

/** A call's context that ends in a few seconds. */
export function soon(clock: Clock = systemClock): { deadline: number } {
  return { deadline: clock.monotonic() + 5_000 }
}
