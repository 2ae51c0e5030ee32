import * as v from 'valibot'

import { BridgeError } from '../errors.ts'

/** What a plugin's admin server says of itself. */
export interface PluginView {
  readonly address: string
  readonly ready: boolean
  /** "ok", "starting" or an error code. */
  readonly reason: string
  readonly message: string
  /** Undefined until it has reached Vault once. */
  readonly keyId?: string
  readonly keyVersion?: number
  /** When its Vault token ends (ISO 8601). */
  readonly tokenExpiresAt?: string
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

const TIMEOUT = 5_000

/** Asks the admin server of a plugin (`admin.listen`); never throws. */
export async function readPlugin(address: string): Promise<PluginReading> {
  try {
    const answer = await fetch(`${address}/readyz?format=json`, {
      signal: AbortSignal.timeout(TIMEOUT),
      redirect: 'error',
    })
    const { ready, reason, message, details } = v.parse(Readiness, await answer.json())
    const { keyId, keyVersion, vaultTokenExpiresAt } = details
    return {
      address,
      ready,
      reason,
      message,
      ...(keyId === undefined ? {} : { keyId }),
      ...(keyVersion === undefined ? {} : { keyVersion }),
      ...(vaultTokenExpiresAt === undefined ? {} : { tokenExpiresAt: vaultTokenExpiresAt }),
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

/** fetch puts what went wrong below its own error. */
function reasonOf(thrown: unknown): string {
  if (thrown instanceof DOMException && thrown.name === 'TimeoutError')
    return 'does not answer in time'
  const cause = thrown instanceof TypeError ? thrown.cause : undefined
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (code === 'ECONNREFUSED') return 'is not there (connection refused)'
  if (code === '') return 'answers /readyz with something else; is it the address of admin.listen'
  return `cannot be reached (${code})`
}
