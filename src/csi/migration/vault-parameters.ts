import { canonicalNamespace } from '../engine-place.ts'
import { VAULT_NAME } from '../class/key-fields.ts'
import type { ConversionReport, Field } from './conversion-report.ts'

/** Parameters of the Vault provider that only an administrator can set here, and where. */
const MOVED: ReadonlyMap<string, string> = new Map(
  Object.entries({
    vaultAddress: 'is vault.address of the configuration',
    vaultCACertPath: 'is vault.caFile of the configuration',
    vaultCADirectory: 'is vault.caFile of the configuration, with all certificates in one file',
    vaultCAPem: 'is vault.caFile of the configuration; save the certificate in a file',
    vaultTLSServerName: 'is vault.serverName of the configuration',
    vaultTLSClientCertPath: 'is vault.clientCertFile of the configuration',
    vaultTLSClientKeyPath: 'is vault.clientKeyFile of the configuration',
    vaultKubernetesMountPath: 'is csi.auth.mount of the configuration',
    vaultAuthMountPath: 'is csi.auth.mount of the configuration',
    audience: 'is csi.audience of the configuration',
  }),
)
const CONVERTED: ReadonlySet<string> = new Set(['roleName', 'vaultNamespace', 'objects'])

/**
 * Converts the parameters of a class of the Vault provider, except `objects`.
 * @param fieldOf returns a parameter for messages
 */
export function convertParameters(
  parameters: Readonly<Record<string, unknown>>,
  fieldOf: (name: string) => Field,
  report: ConversionReport,
): Record<string, string> {
  for (const [name, value] of Object.entries(parameters)) {
    if (CONVERTED.has(name)) continue
    const at = fieldOf(name)
    const moved = MOVED.get(name)
    if (moved !== undefined) report.note(at, moved)
    else if (name === 'vaultSkipTLSVerify') reportSkippedTls(at, value, report)
    else report.fault(at, 'has no counterpart', 'remove it, and check what the pods need it for')
  }
  const { vaultNamespace } = parameters
  return {
    role: convertRole(parameters['roleName'], fieldOf('roleName'), report),
    ...(typeof vaultNamespace === 'string' && vaultNamespace !== ''
      ? { vaultNamespace: convertNamespace(vaultNamespace, fieldOf('vaultNamespace'), report) }
      : {}),
  }
}

function convertRole(role: unknown, at: Field, report: ConversionReport): string {
  if (typeof role !== 'string' || role === '') {
    report.fault(at, 'is missing', 'write role with the Vault role of the pods')
    return 'REPLACE'
  }
  if (VAULT_NAME.pattern.test(role)) return role
  report.fault(at, 'is not a valid Vault name', 'create a role with a valid name')
  return 'REPLACE'
}

function convertNamespace(namespace: string, at: Field, report: ConversionReport): string {
  report.note(at, 'needs a rule in csi.rules with this vaultNamespace')
  const name = canonicalNamespace(namespace.replace(/^\//, ''))
  return name === '' ? 'root' : name
}

function reportSkippedTls(at: Field, value: unknown, report: ConversionReport): void {
  if (value === 'false' || value === false) return
  const hint = "set vault.caFile of the configuration to the CA of Vault's certificate"
  report.fault(at, 'has no counterpart: certificates are always verified', hint)
}
