import type { Test } from 'tap'
import { buildProgram } from '../commands/program.ts'
import { Etcd } from '../real/cluster/etcd.ts'
import { KmsVault, type KmsVaultOptions } from '../real/vault/kms-vault.ts'
import { KubeApiServer, type KubeApiServerOptions } from '../real/cluster/kube-api-server.ts'
import { Plugin } from '../real/program/plugin.ts'
import { TcpProxy } from '../real/faults/tcp-proxy.ts'
import { encryptionConfig, identity, kms } from './encryption-config.ts'

/** What ends what was started: a test, or the stack of a script. */
export type Scope = Pick<Test, 'teardown'>

/** The plugin looks for rotations this often, so that no test waits for 30 s. */
const REFRESH_INTERVAL = '1s'

export type ClusterOptions = {
  /** Merged into the section `kms` of the plugin's configuration. */
  kms?: Record<string, unknown>
  /** Default: Secrets by the plugin, and what is plain is read too. */
  encryptionConfig?: (socket: string) => string
  /** Seconds that the plugin's service-account token lives. Default: an hour. */
  tokenLife?: number
  /** Whether OpenBao writes an audit file. Default: it does not. */
  audit?: boolean
  /** Default: Vault without TLS. */
  tls?: NonNullable<KmsVaultOptions['tls']>
  api?: Omit<KubeApiServerOptions, 'etcd' | 'encryptionConfig'>
}

/** OpenBao behind a proxy, etcd, the built plugin and a kube-apiserver that encrypts by it. */
export type Cluster = {
  vault: KmsVault
  /** Between the plugin and OpenBao. */
  proxy: TcpProxy
  etcd: Etcd
  plugin: Plugin
  api: KubeApiServer
}

/** Starts all of them, ready; they end with the test. */
export async function startCluster(t: Scope, options: ClusterOptions = {}): Promise<Cluster> {
  const { tls, audit } = options
  const [{ vault, proxy }, etcd] = await Promise.all([
    startVault(t, {
      ...(tls === undefined ? {} : { tls }),
      ...(audit === undefined ? {} : { audit }),
    }),
    startEtcd(t),
  ])
  if (options.tokenLife !== undefined) await vault.writeToken({ expiresIn: options.tokenLife })
  const plugin = await startPlugin(t, vault, proxy, options.kms)
  const config = (options.encryptionConfig ?? usualConfig)(plugin.socket)
  const api = await startApiServer(t, { etcd, encryptionConfig: config, ...options.api })
  return { vault, proxy, etcd, plugin, api }
}

export async function startVault(
  t: Scope,
  options: Pick<KmsVaultOptions, 'tls' | 'audit'> = {},
): Promise<{ vault: KmsVault; proxy: TcpProxy }> {
  buildProgram()
  const vault = await KmsVault.start({ audit: false, ...options })
  t.teardown(() => vault.stop())
  const proxy = await TcpProxy.start(vault.bao.address)
  t.teardown(() => proxy.stop())
  return { vault, proxy }
}

export async function startEtcd(t: Scope): Promise<Etcd> {
  const etcd = await Etcd.start()
  t.teardown(() => etcd.stop())
  return etcd
}

/** A plugin that is healthy when this returns. */
export async function startPlugin(
  t: Scope,
  vault: KmsVault,
  proxy: TcpProxy,
  kmsSection: Record<string, unknown> = {},
): Promise<Plugin> {
  const plugin = await Plugin.start(pluginConfiguration(vault, proxy, kmsSection))
  t.teardown(() => plugin.stop())
  await plugin.waitForHealth('ok')
  return plugin
}

export function pluginConfiguration(
  vault: KmsVault,
  proxy: TcpProxy,
  kmsSection: Record<string, unknown> = {},
) {
  return vault.configuration(proxy.address, { refreshInterval: REFRESH_INTERVAL, ...kmsSection })
}

export async function startApiServer(
  t: Scope,
  options: KubeApiServerOptions,
): Promise<KubeApiServer> {
  const api = await KubeApiServer.start(options)
  t.teardown(() => api.stop())
  return api
}

export function usualConfig(socket: string): string {
  return encryptionConfig([kms(socket), identity])
}
