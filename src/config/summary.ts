import type {
  AuthConfig,
  CsiConfig,
  KmsConfig,
  LocalKeysConfig,
  ProviderConfig,
  ProviderTransitConfig,
} from './config.ts'
import { formatDuration } from '../time/duration.ts'
import type { LoadedConfig } from './load.ts'

/** Every other command requires one of the sections. */
const ONLY_SETUP =
  'note: only transit-bridge setup accepts this configuration; add the section kms for the KMS plugin and its commands, or csi for the CSI provider'

type Show = (path: string, value: string) => string

/** What would run with a configuration, in a few lines. Values from the environment are shown as they were written. */
export function summarize({ config, written }: LoadedConfig<ProviderConfig>): readonly string[] {
  const show: Show = (path, value) => written.get(path) ?? value
  const { vault, transit, kms, csi, admin } = config
  return [
    `vault: ${showAddresses(vault.addresses, show)}, ${describeLogin(vault.auth, show)}`,
    describeTransit(transit, show),
    kms === undefined ? 'kms: not configured' : describeKms(kms, show),
    csi === undefined ? 'csi: not configured' : describeCsi(csi, show),
    ...(csi === undefined ? [] : describeRuntime(csi, show)),
    `admin: ${admin.listen === undefined ? 'none' : describeListen(admin.listen, show)}`,
    ...(kms === undefined ? [] : listUnusedLocalKeys(kms.localKeys)),
    ...(kms === undefined && csi === undefined ? [ONLY_SETUP] : []),
  ]
}

function showAddresses(addresses: readonly string[], show: Show): string {
  const shown = addresses.map((address, index) => show(`vault.address[${index}]`, address))
  return show('vault.address', shown.join(', '))
}

function describeLogin(auth: AuthConfig | undefined, show: Show): string {
  if (auth === undefined) return 'no login (pods log in with their own tokens)'
  const method = show('vault.auth.method', auth.method)
  if (auth.method === 'token') return 'login with a token file'
  const role =
    'role' in auth && auth.role !== undefined ? ` as ${show('vault.auth.role', auth.role)}` : ''
  return `login with ${method} at auth/${show('vault.auth.mount', auth.mount)}${role}`
}

function describeTransit({ mount, key }: ProviderTransitConfig, show: Show): string {
  const what = key === undefined ? 'no key' : `key ${show('transit.key', key)}`
  return `transit: ${what} in ${show('transit.mount', mount)}`
}

function describeKms(kms: KmsConfig, show: Show): string {
  const extras = [
    ...(kms.decryptCache.enabled
      ? [`decrypt cache of ${kms.decryptCache.maxEntries} entries`]
      : []),
    ...(kms.localKeys.enabled ? [describeLocalKeys(kms.localKeys, show)] : []),
    ...(kms.v1beta1 ? ['v1beta1'] : []),
  ]
  const cluster = `cluster ${show('kms.clusterId', kms.clusterId)}`
  const grace = `outage grace ${formatDuration(kms.outageGraceMs)}`
  return [`kms: ${show('kms.socket', kms.socket)}`, cluster, grace, ...extras].join(', ')
}

function describeCsi(csi: CsiConfig, show: Show): string {
  const rules = csi.rules.length === 1 ? '1 rule' : `${csi.rules.length} rules`
  const start = `csi: ${show('csi.socket', csi.socket)}, audience ${show('csi.audience', csi.audience)}`
  return [start, rules, ...describeEngines(csi.rules)].join(', ')
}

function listUnusedLocalKeys({ enabled, sealedFile }: LocalKeysConfig): readonly string[] {
  if (enabled || sealedFile === undefined) return []
  return [
    'warn: kms.localKeys.enabled is false, so kms.localKeys.sealedFile has no effect; this node cannot start without Vault',
  ]
}

/** Empty if it is not enabled and no rule has operations, which would have no effect. */
function describeRuntime({ runtime, rules }: CsiConfig, show: Show): readonly string[] {
  const count = rules.filter(({ operations = [] }) => operations.length > 0).length
  const counted = count === 1 ? '1 rule' : `${count} rules`
  if (runtime === undefined) {
    const text = `csi.runtime: not enabled, so operations in csi.rules have no effect (${counted})`
    return count === 0 ? [] : [text]
  }
  const socket = show('csi.runtime.socket', runtime.socket)
  return [`csi.runtime: driver ${runtime.driverName} at ${socket}, ${counted} with operations`]
}

/** Only with rules for several Transit engines. */
function describeEngines(rules: CsiConfig['rules']): readonly string[] {
  const engines = new Set(
    rules.map(({ vaultNamespace, mount }) => JSON.stringify([vaultNamespace, mount])),
  )
  return engines.size > 1 ? [`${engines.size} Transit engines`] : []
}

function describeListen(
  listen: { readonly host: string; readonly port: number },
  show: Show,
): string {
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host
  return `http://${show('admin.listen', `${host}:${listen.port}`)}`
}

function describeLocalKeys({ offlineForMs, sealedFile }: LocalKeysConfig, show: Show): string {
  const place =
    sealedFile === undefined
      ? 'only in memory'
      : `sealed in ${show('kms.localKeys.sealedFile', sealedFile)}`
  return `local keys that serve ${formatDuration(offlineForMs)} without Vault, ${place}`
}
