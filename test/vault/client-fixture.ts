import type { Test } from 'tap'
import type { CallContext } from '../../src/call-context.ts'
import { systemClock } from '../../src/time/clock.ts'
import { BridgeError } from '../../src/errors.ts'
import { Secret } from '../../src/secret.ts'
import { createKmsMetrics } from '../../src/telemetry/metrics/roles.ts'
import { createVaultClient, type VaultClientOptions } from '../../src/vault/client/client.ts'
import type { VaultRequest, VaultResponse } from '../../src/vault/client/request.ts'
import { memoryLog } from '../fakes/log.ts'

export const TOKEN = 'hvs.CAESIJ-the-token'

export const decrypt: VaultRequest = {
  operation: 'decrypt',
  method: 'POST',
  path: 'transit/decrypt/k8s-etcd',
  body: { ciphertext: 'vault:v1:c2VjcmV0IGNpcGhlcnRleHQ=' },
  token: new Secret(TOKEN),
}

export const readKey: VaultRequest = {
  operation: 'read_key',
  method: 'GET',
  path: 'transit/keys/k8s-etcd',
  token: new Secret(TOKEN),
}

/** A client whose log and metrics are recorded; it waits as briefly as possible and is closed after the test. */
export function clientFixture(
  t: Test,
  addresses: readonly string[],
  options: Partial<VaultClientOptions> = {},
) {
  const { log, lines } = memoryLog()
  log.level = 'debug'
  const metrics = createKmsMetrics('test')
  const client = createVaultClient({
    addresses,
    timeoutMs: 5000,
    clock: systemClock,
    log,
    metrics,
    random: () => 0,
    ...options,
  })
  t.teardown(() => client.close())
  return { client, lines, metrics }
}

/** A context whose deadline comes so many milliseconds from now. */
export function within(
  milliseconds: number,
  more: Omit<CallContext, 'deadline'> = {},
): CallContext {
  return { deadline: systemClock.monotonic() + milliseconds, ...more }
}

/** The error of a request that must fail. */
export async function failureOf(request: Promise<VaultResponse>): Promise<BridgeError> {
  try {
    const { status } = await request
    throw new Error(`answered with ${String(status)}`)
  } catch (error) {
    if (error instanceof BridgeError) return error
    throw error
  }
}
