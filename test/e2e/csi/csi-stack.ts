import { CSI_OBJECT_TYPES } from '../../../src/config/config.ts'
import { CsiCluster, type CsiClusterOptions } from '../../real/cluster/csi-cluster.ts'
import type { CsiDriver } from '../../real/cluster/csi-driver.ts'
import { CsiVault } from '../../real/vault/csi-vault.ts'
import { Provider, type ProviderConfiguration } from '../../real/program/provider.ts'
import { TcpProxy } from '../../real/faults/tcp-proxy.ts'
import type { Scope } from '../cluster.ts'

export type CsiSection = Partial<ProviderConfiguration['csi']>

/** Pods of namespace shop may have all of the keys named app-*. */
export const RULE = {
  namespaces: ['shop'],
  serviceAccounts: ['*'],
  roles: ['web'],
  keys: ['app-*'],
  types: CSI_OBJECT_TYPES,
}

/** Everything from the API server to Vault. */
export type CsiStack = {
  cluster: CsiCluster
  driver: CsiDriver
  vault: CsiVault
  /** Between the provider and OpenBao. */
  proxy: TcpProxy
  /** The built program. */
  provider: Provider
}

/** Starts all of them, ready; they end with the test. */
export async function startCsiStack(
  t: Scope,
  options: CsiClusterOptions & { csi?: CsiSection } = {},
): Promise<CsiStack> {
  const cluster = await CsiCluster.start(options)
  t.teardown(() => cluster.stop())
  const { driver } = cluster
  const vault = await CsiVault.start(cluster.api)
  t.teardown(() => vault.stop())
  await vault.writeRole({ role: 'web', subjects: ['system:serviceaccount:shop:*'] })
  const proxy = await TcpProxy.start(vault.bao.address)
  t.teardown(() => proxy.stop())
  const provider = await startProvider(t, driver, csiConfiguration(proxy.address, options.csi))
  return { cluster, driver, vault, proxy, provider }
}

/** The built provider where a driver looks for it. */
export async function startProvider(
  t: Scope,
  driver: CsiDriver,
  configuration: ProviderConfiguration,
): Promise<Provider> {
  const provider = await Provider.start(driver.providersFolder, configuration)
  t.teardown(() => provider.stop())
  return provider
}

/** What an administrator writes: pods of namespace shop may have all of the keys named app-*. */
export function csiConfiguration(address: string, csi: CsiSection = {}): ProviderConfiguration {
  return {
    vault: { address },
    transit: { key: 'k8s-etcd' },
    csi: {
      audience: 'vault',
      rules: [RULE],
      ...csi,
    },
  }
}
