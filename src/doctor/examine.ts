import type { Clock } from '../time/clock.ts'
import type { Config, ProviderConfig } from '../config/config.ts'
import { keyPath } from '../config/key-path.ts'
import { requireSection } from '../config/section.ts'
import { homeOf } from '../csi/identity/access-rules.ts'
import { VaultSettings } from '../operator/vault-settings.ts'
import { describeMoreTime } from '../time/duration.ts'
import type { VaultSession } from '../vault/session/session.ts'
import { checkApiServer } from './api-server-check.ts'
import { checkAudit } from './audit-check.ts'
import { checkClientCertificate } from './client-certificate-check.ts'
import { fail, ok, unknown, VAULT_FIRST, warn, wordsOf, type Finding } from './finding.ts'
import { checkIdentity } from './identity-check.ts'
import { checkKey } from './key-check.ts'
import { checkNamespace } from './namespace-check.ts'
import { checkPathRights } from './path-rights.ts'
import { checkPeers } from './peers-check.ts'
import { checkPolicy } from './policy-check.ts'
import { checkRuntime } from './runtime/runtime-check.ts'
import { checkRuntimePolicy, type RuntimePolicyOptions } from './runtime/runtime-policy.ts'
import { checkSealedFile } from './local-keys/sealed-file-check.ts'
import { checkSocket, findPluginUser } from './socket-check.ts'
import { checkVault } from './vault-check.ts'
import { viewVault, type VaultView } from './vault-probe.ts'

/** For a login, with all retries. */
const LOGIN_TIMEOUT_MS = 10_000

export interface ExamineOptions {
  readonly config: ProviderConfig
  /** Undefined if the configuration has no section kms: a node with the CSI driver alone. */
  readonly plugin: PluginOptions | undefined
  /** Where the configuration was read. */
  readonly file: string
  /** Logs pods in. */
  readonly access: PodAccess
  readonly clock: Clock
  readonly podToken: string | undefined
}

type PodAccess = Pick<RuntimePolicyOptions, 'client' | 'log' | 'metrics'>

export interface PluginOptions {
  readonly config: Config
  readonly session: VaultSession
  readonly surviveMs: number
  readonly manifest: string
  readonly encryptionConfig: string | undefined
  readonly peers: readonly string[]
}

/** Checks everything, in the order of dependencies. It changes nothing. */
export async function examine(options: ExamineOptions): Promise<readonly Finding[]> {
  const { config, plugin, clock } = options
  const { vault, kms } = config
  const views = await Promise.all(vault.addresses.map((address) => viewVault(address, vault)))
  const owners = kms === undefined ? [] : await findPluginUser(kms.socket)
  const { caFile } = vault
  return [
    ...(await checkPathRights('configuration', options.file, owners)),
    ...(plugin === undefined ? [] : await checkLoginFiles(plugin, clock, owners)),
    ...(await checkClientCertificate(vault.clientCertificate, clock.now(), owners)),
    ...(caFile === undefined ? [] : await checkPathRights('vault tls', caFile, owners)),
    ...checkVault(views, clock),
    ...checkNamespace(views, vault, config.csi),
    ...(plugin === undefined ? [] : await checkPlugin(plugin, clock, views, owners)),
    ...(await checkRuntimeDriver(options, views)),
  ]
}

function checkLoginFiles(
  { config, surviveMs }: PluginOptions,
  clock: Clock,
  owners: readonly number[],
): Promise<readonly Finding[]> {
  return checkIdentity({ auth: config.vault.auth, surviveMs, clock, owners })
}

/** The plugin, and the kube-apiserver that uses it. */
async function checkPlugin(
  plugin: PluginOptions,
  clock: Clock,
  views: readonly VaultView[],
  owners: readonly number[],
): Promise<readonly Finding[]> {
  const { config, manifest, encryptionConfig, peers } = plugin
  const kms = requireSection(config, 'kms')
  return [
    ...(await checkAsPlugin(plugin, clock, views)),
    ...(await checkSocket(kms)),
    ...(await checkSealedFile(
      kms.localKeys,
      { clusterId: kms.clusterId, keyPath: keyPath(config) },
      owners,
    )),
    ...(await checkApiServer({ socket: kms.socket, manifest, encryptionConfig })),
    ...(await checkPeers(peers.length === 0 ? [] : [...ownAdmin(config), ...peers])),
  ]
}

/** csi.runtime, if it is enabled. */
async function checkRuntimeDriver(
  { config, access, clock, podToken }: ExamineOptions,
  views: readonly VaultView[],
): Promise<readonly Finding[]> {
  const { csi, vault } = config
  if (csi?.runtime === undefined) return []
  const home = homeOf({ csi, transit: config.transit, vaultNamespace: vault.namespace })
  return [
    ...(await checkRuntime(csi, csi.runtime)),
    ...(acceptsLogins(views)
      ? await checkRuntimePolicy({ ...access, csi, home, clock, podToken })
      : [unknown('runtime policy', 'Vault accepts no logins now', VAULT_FIRST)]),
  ]
}

function acceptsLogins(views: readonly VaultView[]): boolean {
  return views.some(({ health }) => health?.initialized === true && !health.sealed)
}

/** This node is one of those that must agree. */
function ownAdmin({ admin }: Config): readonly string[] {
  if (admin.listen === undefined) return []
  const { host, port } = admin.listen
  const asked = ['*', '0.0.0.0', '::'].includes(host) ? '127.0.0.1' : host
  return [`${asked.includes(':') ? `[${asked}]` : asked}:${port}`]
}

/** What only a logged-in client can see. */
async function checkAsPlugin(
  { config, session }: PluginOptions,
  clock: Clock,
  views: readonly VaultView[],
): Promise<readonly Finding[]> {
  if (!acceptsLogins(views)) return [unknown('login', 'Vault accepts no logins now', VAULT_FIRST)]
  try {
    await session.ready({ deadline: clock.monotonic() + LOGIN_TIMEOUT_MS })
  } catch (thrown) {
    return [fail('login', wordsOf(thrown))]
  }
  const vault = new VaultSettings({ client: session, clock })
  return [
    ...checkLogin(config, session, clock.now()),
    ...(await checkPolicy(vault, config.transit)),
    ...(await checkKey(vault, config.transit)),
    ...(await checkAudit(vault)),
  ]
}

function checkLogin(
  { vault }: Config,
  { tokenExpiresAt = Infinity, tokenMaxUses }: VaultSession,
  now: number,
): readonly Finding[] {
  const expiry =
    tokenExpiresAt === Infinity
      ? 'never expires'
      : `is valid for ${describeMoreTime(tokenExpiresAt - now)}`
  const login = ok('login', `the Vault token ${expiry} (vault.auth.method ${vault.auth.method})`)
  if (tokenMaxUses === undefined) return [login]
  const why = `Vault accepts only ${tokenMaxUses} requests with each token (token_num_uses), so the plugin must log in again and again, and each request writes to Vault's storage`
  return [login, warn('token uses', why, 'set token_num_uses=0 on the role')]
}
