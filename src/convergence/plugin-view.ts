import * as v from 'valibot'

import { BridgeError } from '../errors.ts'

/** What a plugin reports at its admin port. */
export interface PluginView {
  readonly address: string
  readonly ready: boolean
  /** "ok", "starting" or an error code. */
  readonly reason: string
  readonly message: string
  /** Undefined until it has read the key from Vault once. */
  readonly keyId?: string | undefined
  readonly keyVersion?: number | undefined
  /** When its Vault token expires (ISO 8601). */
  readonly tokenExpiresAt?: string | undefined
}

export interface SilentPlugin {
  readonly address: string
  readonly silence: BridgeError
}

export type PluginReading = PluginView | SilentPlugin

const Readiness = v.object({
  ready: v.boolean(),
  reason: v.string(),
  message: v.string(),
  details: v.object({
    keyId: v.optional(v.string()),
    keyVersion: v.optional(v.number()),
    vaultTokenExpiresAt: v.optional(v.string()),
  }),
})

const TIMEOUT_MS = 5_000

/** Reads /readyz of a plugin's admin port (`admin.listen`); never throws. */
export async function readPlugin(address: string): Promise<PluginReading> {
  try {
    const answer = await fetch(`${address}/readyz?format=json`, {
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: 'error',
    })
    const { ready, reason, message, details } = v.parse(Readiness, await answer.json())
    const { keyId, keyVersion, vaultTokenExpiresAt } = details
    return {
      address,
      ready,
      reason,
      message,
      keyId,
      keyVersion,
      tokenExpiresAt: vaultTokenExpiresAt,
    }
  } catch (error) {
    return { address, silence: explain(address, error) }
  }
}

export function isSilentPlugin(reading: PluginReading): reading is SilentPlugin {
  return 'silence' in reading
}

function explain(address: string, thrown: unknown): BridgeError {
  return new BridgeError('PLUGIN_UNREACHABLE', `the plugin at ${address} ${reasonOf(thrown)}`, {
    cause: thrown,
  })
}

/** fetch keeps the network error as the cause of its own (WHATWG Fetch; undici). */
function reasonOf(thrown: unknown): string {
  if (thrown instanceof DOMException && thrown.name === 'TimeoutError')
    return 'does not answer in time'
  const cause = thrown instanceof TypeError ? thrown.cause : undefined
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (code === 'ECONNREFUSED') return 'refuses the connection'
  if (code === '')
    return 'does not return the readiness of a plugin; check that this is the address in admin.listen'
  return `is unreachable (${code})`
}
