import type { TransitConfig } from '../config/config.ts'
import { BridgeError } from '../errors.ts'
import type { Settings, VaultSettings } from '../operator/vault-settings.ts'
import { parseTransitKey, requireWrappingKey } from '../transit/key.ts'
import { describeDuration } from '../time/duration.ts'
import { fail, ok, unknown, warn, wordsOf, type Finding } from './finding.ts'

/** The settings of the key, and whether a misspelled name would create another key. */
export async function checkKey(
  vault: VaultSettings,
  { mount, key }: TransitConfig,
): Promise<readonly Finding[]> {
  const path = `${mount}/keys/${key}`
  try {
    const found = await vault.read(path)
    if (found === undefined)
      return [
        fail(
          'key',
          `there is no key at ${path}`,
          'create it with transit-bridge setup, or correct transit.key',
        ),
      ]
    return [checkUse(found), ...checkSettings(found, path), await checkUpsert(vault, mount)]
  } catch (thrown) {
    return [unknown('key', wordsOf(thrown))]
  }
}

function checkUse(found: Settings): Finding {
  try {
    const parsed = parseTransitKey({ data: found })
    requireWrappingKey(parsed)
    return ok('key', `${parsed.name}, ${parsed.type}, version ${parsed.latestVersion}`)
  } catch (thrown) {
    return fail('key', wordsOf(thrown))
  }
}

function checkSettings(found: Settings, path: string): readonly Finding[] {
  const leaving = ['exportable', 'allow_plaintext_backup'].filter((name) => found[name] === true)
  return [
    leaving.length === 0
      ? ok('key export', 'the key cannot leave Vault')
      : warn(
          'key export',
          `${leaving.join(' and ')}: the key can leave Vault`,
          'this cannot be undone; use another key',
        ),
    found['deletion_allowed'] === true
      ? fail(
          'key deletion',
          'is allowed; without the key, everything that it encrypts is lost',
          `bao write ${path}/config deletion_allowed=false`,
        )
      : ok('key deletion', 'is not allowed'),
    describeRotation(Number(found['auto_rotate_period'] ?? 0)),
  ]
}

function describeRotation(seconds: number): Finding {
  if (!(seconds > 0)) return ok('key rotation', 'by hand')
  return ok(
    'key rotation',
    `by Vault, every ${describeDuration(seconds * 1000)}; existing data keeps its key version`,
  )
}

async function checkUpsert(vault: VaultSettings, mount: string): Promise<Finding> {
  const path = `${mount}/config/keys`
  try {
    const found = await vault.read(path)
    if (found?.['disable_upsert'] === true)
      return ok('key upsert', 'a misspelled name creates no key')
    const why = 'a token with the create capability can create a key by a misspelled name'
    return fail('key upsert', why, `bao write ${path} disable_upsert=true`)
  } catch (thrown) {
    const denied = thrown instanceof BridgeError && thrown.code === 'VAULT_DENIED'
    if (!denied) throw thrown
    return unknown(
      'key upsert',
      `the plugin is not allowed to read ${path}`,
      'transit-bridge setup --dry-run reports it',
    )
  }
}
