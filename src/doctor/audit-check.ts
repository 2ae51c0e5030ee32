import { BridgeError } from '../errors.ts'
import type { VaultSettings } from '../operator/vault-settings.ts'
import { fail, ok, unknown, wordsOf, type Finding } from './finding.ts'

/** Whether Vault records its requests. The plugin's own token may rarely read that. */
export async function checkAudit(vault: VaultSettings): Promise<readonly Finding[]> {
  try {
    const devices = Object.keys((await vault.read('sys/audit')) ?? {})
    if (devices.length > 0) return [ok('audit', `goes to ${devices.join(', ')}`)]
    const why = 'Vault has no audit device, so there is no record of what was decrypted'
    return [fail('audit', why, 'enable one: bao audit enable, or in the configuration of OpenBao')]
  } catch (thrown) {
    if (!(thrown instanceof BridgeError)) throw thrown
    if (thrown.code !== 'VAULT_DENIED') return [unknown('audit', wordsOf(thrown))]
    return [
      unknown(
        'audit',
        'the plugin is not allowed to read sys/audit',
        'run bao audit list with an operator token',
      ),
    ]
  }
}
