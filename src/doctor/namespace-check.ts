import type { CsiConfig, VaultConnection } from '../config/config.ts'
import { warn, type Finding } from './finding.ts'
import type { VaultHealth, VaultView } from './vault-probe.ts'

/** The first OpenBao 2.x with namespaces (https://openbao.org/docs/release-notes/2-3-0). */
const MIN_OPENBAO_2_MINOR = 3

/**
 * A Vault without namespaces ignores X-Vault-Namespace and answers from the root namespace, so a configured namespace
 * separates nothing there.
 */
export function checkNamespace(
  views: readonly VaultView[],
  vault: Pick<VaultConnection, 'namespace' | 'auth'>,
  csi?: Pick<CsiConfig, 'rules'>,
): readonly Finding[] {
  const [found] = findNamespaces(vault, csi)
  if (found === undefined) return []
  const { key, name } = found
  return views
    .filter(({ health }) => health !== undefined && hasNamespaces(health) === false)
    .map(({ address }) => {
      const why = `${address} has no namespaces, so it ignores ${key} (${JSON.stringify(name)}) and uses the root namespace`
      const fix = `remove ${key}, or use Vault Enterprise or OpenBao 2.${String(MIN_OPENBAO_2_MINOR)} or newer`
      return warn('vault namespace', why, fix)
    })
}

interface NamespaceSetting {
  readonly key: string
  readonly name: string
}

function findNamespaces(
  { namespace, auth }: Pick<VaultConnection, 'namespace' | 'auth'>,
  csi: Pick<CsiConfig, 'rules'> | undefined,
): readonly NamespaceSetting[] {
  const ofRules = csi?.rules.map(({ vaultNamespace }) => vaultNamespace) ?? []
  return [
    { key: 'vault.namespace', name: namespace },
    { key: 'vault.auth.namespace', name: auth?.namespace },
    ...ofRules.map((name, index) => ({
      key: `csi.rules[${String(index)}].vaultNamespace`,
      name,
    })),
  ].flatMap(({ key, name }) => (name === undefined || name === '' ? [] : { key, name }))
}

/** Undefined for a version that is not known. Only HashiCorp's Vault reports `enterprise`, and not in old versions. */
function hasNamespaces({ enterprise, version }: VaultHealth): boolean | undefined {
  if (enterprise !== undefined) return enterprise
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version) ?? []
  if (major === undefined || minor === undefined) return undefined
  if (Number(major) < 2) return version.includes('+ent')
  return Number(major) > 2 || Number(minor) >= MIN_OPENBAO_2_MINOR
}
