import type { VaultConfig } from '../config/config.ts'
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
  { namespace, auth }: Pick<VaultConfig, 'namespace' | 'auth'>,
): readonly Finding[] {
  const [key, name] =
    namespace === undefined
      ? ['vault.auth.namespace', auth.namespace]
      : ['vault.namespace', namespace]
  if (name === undefined || name === '') return []
  return views
    .filter(({ health }) => health !== undefined && hasNamespaces(health) === false)
    .map(({ address }) => {
      const why = `${address} has no namespaces, so it ignores ${key} (${JSON.stringify(name)}) and uses the root namespace`
      const fix = `remove ${key}, or use Vault Enterprise or OpenBao 2.${String(MIN_OPENBAO_2_MINOR)} or newer`
      return warn('vault namespace', why, fix)
    })
}

/** Undefined for a version that is not known. Only HashiCorp's Vault reports `enterprise`, and not in old versions. */
function hasNamespaces({ enterprise, version }: VaultHealth): boolean | undefined {
  if (enterprise !== undefined) return enterprise
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version) ?? []
  if (major === undefined || minor === undefined) return undefined
  if (Number(major) < 2) return version.includes('+ent')
  return Number(major) > 2 || Number(minor) >= MIN_OPENBAO_2_MINOR
}
