import type { TransitConfig } from '../config/config.ts'
import { BridgeError } from '../errors.ts'
import { parseTransitKey, type TransitKey } from '../transit/key.ts'
import type { VaultSettings } from './vault-settings.ts'

/** A Transit key with the settings that only an operator needs. */
export interface AdministeredKey extends TransitKey {
  /** How often Vault rotates it automatically; 0 for never. */
  readonly autoRotateSeconds: number
}

/** The Transit key with an operator token: the plugin's own policy may neither rotate nor configure it. */
export class KeyAdmin {
  readonly #vault: VaultSettings
  readonly #path: string

  constructor(vault: VaultSettings, { mount, key }: TransitConfig) {
    this.#vault = vault
    this.#path = `${mount}/keys/${encodeURIComponent(key)}`
  }

  /** Throws KEY_MISSING if it does not exist. */
  async read(): Promise<AdministeredKey> {
    const data = await this.#vault.read(this.#path)
    if (data === undefined) {
      throw new BridgeError(
        'KEY_MISSING',
        `Vault has no key at ${this.#path}; check transit.mount and transit.key`,
      )
    }
    return {
      ...parseTransitKey({ data }),
      autoRotateSeconds: readPeriod(data['auto_rotate_period']),
    }
  }

  /** Creates a key version, which becomes the latest. If it throws, Vault may have created it nevertheless. */
  async rotate(): Promise<void> {
    await this.#vault.writeOnce(`${this.#path}/rotate`, {})
  }

  /** Data of older versions can no longer be decrypted; the limit can be lowered again until the key is trimmed. */
  async raiseMinDecryptionVersion(version: number): Promise<void> {
    await this.#vault.write(`${this.#path}/config`, { min_decryption_version: version })
  }

  /** Throws VAULT_DENIED with the missing rights unless the token may read the key and perform these operations on it. */
  async requireRights(verbs: readonly ('rotate' | 'config')[]): Promise<void> {
    const rights = verbs.map((verb) => ({
      path: `${this.#path}/${verb}`,
      capabilities: ['update'] as const,
    }))
    const missing = await this.#vault.findMissing([
      { path: this.#path, capabilities: ['read'] },
      ...rights,
    ])
    if (missing.length === 0) return
    const words = missing.map(
      ({ path, capabilities }) => `${capabilities.join(' and ')} on ${path}`,
    )
    throw new BridgeError(
      'VAULT_DENIED',
      `the operator token lacks ${words.join(', ')}; the plugin's own role cannot rotate the key`,
    )
  }
}

/** Seconds (Vault: builtin/logical/transit/path_keys.go). */
function readPeriod(value: unknown): number {
  return typeof value === 'number' ? value : 0
}
