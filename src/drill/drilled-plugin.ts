import { askAdmin, readReadiness } from '../admin/client.ts'
import { BridgeError, isVaultSilent, type ErrorCode } from '../errors.ts'
import { oneLine } from '../text/one-line.ts'
import type { PluginState } from './outage-record.ts'

/** What the switch of a plugin answers when it does not act. Something else may have acted before it failed. */
const REFUSALS: ReadonlySet<number> = new Set([400, 401, 403, 404])

const MAX_SHOWN = 400

/** The plugin that a drill disconnects, at its admin server. */
export class DrilledPlugin {
  readonly #address: string
  readonly #token: string

  constructor(address: string, token: string) {
    this.#address = address
    this.#token = token
  }

  /** Throws USAGE_INVALID if the plugin refuses, and PLUGIN_UNREACHABLE if it is not known whether it did that. */
  async disconnect(seconds: number): Promise<void> {
    await this.#switch('POST', `?seconds=${String(seconds)}`)
  }

  /** Throws as {@link disconnect}. */
  async reconnect(): Promise<void> {
    await this.#switch('DELETE', '')
  }

  /** What the plugin says about its last check of Vault. */
  async state(signal: AbortSignal): Promise<PluginState> {
    try {
      const { ready, reason } = await readReadiness(this.#address, signal)
      // Ready with another reason: within the grace of an outage, or with local keys.
      if (ready && reason === 'ok') return 'connected'
      return isVaultSilent({ code: reason as ErrorCode }) ? 'disconnected' : 'unknown'
    } catch {
      return 'unknown'
    }
  }

  async #switch(method: 'POST' | 'DELETE', query: string): Promise<void> {
    const headers = { authorization: `Bearer ${this.#token}` }
    const answer = await askAdmin(this.#address, `/drill/outage${query}`, { method, headers })
    if (answer.status === 200) return
    const plugin = `the plugin at ${this.#address}`
    const text = oneLine(answer.text, MAX_SHOWN)
    if (answer.status === 404)
      throw new BridgeError(
        'USAGE_INVALID',
        `${plugin} does not allow drills; set admin.drill: {tokenFile: FILE} and restart it`,
      )
    if (REFUSALS.has(answer.status))
      throw new BridgeError('USAGE_INVALID', `${plugin} refuses the drill: ${text}`)
    throw new BridgeError(
      'PLUGIN_UNREACHABLE',
      `${plugin} answers the drill with ${String(answer.status)}: ${text}`,
    )
  }
}
