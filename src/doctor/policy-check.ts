import type { TransitConfig } from '../config/config.ts'
import type { VaultSettings } from '../operator/vault-settings.ts'
import { fail, ok, unknown, wordsOf, type Finding } from './finding.ts'

const FIX =
  'compare with vault-policies/kms.hcl; transit-bridge setup --dry-run shows the difference'

interface Expected {
  readonly path: string
  readonly capability: string
}

/** Whether the plugin's token may do what it needs, and no more. */
export async function checkPolicy(
  vault: VaultSettings,
  { mount, key }: TransitConfig,
): Promise<readonly Finding[]> {
  const needed: readonly Expected[] = [
    { path: `${mount}/encrypt/${key}`, capability: 'update' },
    { path: `${mount}/decrypt/${key}`, capability: 'update' },
    { path: `${mount}/keys/${key}`, capability: 'read' },
  ]
  const forbidden = listForbidden(mount, key)
  try {
    const found = await vault.capabilities([...needed.map(({ path }) => path), ...forbidden])
    const lacking = needed.filter(({ path, capability }) => !allows(found.get(path), capability))
    const beyond = [
      ...needed.flatMap(({ path, capability }) => findBeyond(path, found.get(path), [capability])),
      ...forbidden.flatMap((path) => findBeyond(path, found.get(path), [])),
    ]
    return [
      lacking.length === 0
        ? ok('policy', 'allows encrypt, decrypt, and reading the key')
        : fail(
            'policy',
            `lacks ${lacking.map(({ path, capability }) => `${capability} on ${path}`).join(', ')}`,
            FIX,
          ),
      ...(beyond.length === 0
        ? [ok('policy limits', 'allows none of the other paths that were checked')]
        : [fail('policy limits', `allows too much: ${beyond.join(', ')}`, FIX)]),
    ]
  } catch (thrown) {
    return [unknown('policy', wordsOf(thrown), 'this check needs the policy "default" on the role')]
  }
}

/** What too broad a policy allows: other keys, the key's settings, its export, and Vault itself. */
function listForbidden(mount: string, key: string): readonly string[] {
  const other = `${key}-transit-bridge-doctor`
  return [
    `${mount}/encrypt/${other}`,
    `${mount}/decrypt/${other}`,
    `${mount}/keys/${other}`,
    `${mount}/keys/${key}/config`,
    `${mount}/keys/${key}/rotate`,
    `${mount}/export/encryption-key/${key}`,
    `${mount}/backup/${key}`,
    `${mount}/config/keys`,
    `sys/policies/acl/transit-bridge-doctor`,
    `sys/mounts/transit-bridge-doctor`,
    `sys/auth/transit-bridge-doctor`,
  ]
}

function allows(held: readonly string[] = [], capability: string): boolean {
  return held.includes(capability) || held.includes('root')
}

/** Reading config/keys is harmless, and lets doctor check whether upsert is off. */
function findBeyond(path: string, held: readonly string[] = [], wanted: readonly string[]) {
  const harmless = path.endsWith('/config/keys') ? ['read'] : []
  const more = held.filter(
    (one) => one !== 'deny' && !wanted.includes(one) && !harmless.includes(one),
  )
  return more.length === 0 ? [] : [`${more.join(' and ')} on ${path}`]
}
