import { readReadiness } from '../admin/client.ts'
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
  /** For how long local keys encrypt without Vault; 0 or undefined if they do not. */
  readonly offlineSecondsLeft?: number | undefined
  /** Why it cannot use its sealed file. */
  readonly sealedFileFault?: string | undefined
}

export interface SilentPlugin {
  readonly address: string
  readonly silence: BridgeError
}

export type PluginReading = PluginView | SilentPlugin

/** Reads /readyz of a plugin's admin port (`admin.listen`); never throws. */
export async function readPlugin(address: string): Promise<PluginReading> {
  try {
    const { ready, reason, message, details } = await readReadiness(address)
    const { vaultTokenExpiresAt, ...known } = details
    return { address, ready, reason, message, ...known, tokenExpiresAt: vaultTokenExpiresAt }
  } catch (error) {
    return { address, silence: BridgeError.from(error) }
  }
}

export function isSilentPlugin(reading: PluginReading): reading is SilentPlugin {
  return 'silence' in reading
}
