import type { Test } from 'tap'
import type { KubeApiServer } from '../real/cluster/kube-api-server.ts'
import type { Plugin } from '../real/program/plugin.ts'
import { ServiceAccountIssuer } from '../real/cluster/service-account.ts'
import { TcpProxy } from '../real/faults/tcp-proxy.ts'
import { Operator } from './command.ts'
import { startApiServer, startCluster, startPlugin, usualConfig, type Cluster } from './cluster.ts'

export type TwoServers = {
  cluster: Cluster
  apis: KubeApiServer[]
  plugins: Plugin[]
  /** Between the second plugin and OpenBao. */
  secondProxy: TcpProxy
  operator: Operator
}

/** Two API servers with one etcd, each with its own plugin, and an operator who knows all of them. */
export async function startTwoServers(t: Test): Promise<TwoServers> {
  const signer = await ServiceAccountIssuer.create()
  const cluster = await startCluster(t, { api: { signer } })
  const secondProxy = await TcpProxy.start(cluster.vault.bao.address)
  t.teardown(() => secondProxy.stop())
  const secondPlugin = await startPlugin(t, cluster.vault, secondProxy)
  const second = await startApiServer(t, {
    etcd: cluster.etcd,
    signer,
    encryptionConfig: usualConfig(secondPlugin.socket),
  })
  const apis = [cluster.api, second]
  const plugins = [cluster.plugin, secondPlugin]
  const operator = await Operator.of({ apis, plugins, etcd: cluster.etcd })
  return { cluster, apis, plugins, secondProxy, operator }
}
