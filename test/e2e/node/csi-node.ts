import { join } from 'node:path'
import type { Test } from 'tap'
import { CsiDriver } from '../../real/cluster/csi-driver.ts'
import type { KubeNode } from '../../real/cluster/kube-node.ts'
import { installDriverResources } from '../../real/cluster/kube-objects.ts'
import { obtain } from '../../real/host/parts.ts'
import { forwardSocket } from '../../real/host/socket-forward.ts'

/** Of the node, as pods reach it. */
export const ADDRESS = '198.51.100.1'
const DRIVER_SOCKET = '/var/lib/kubelet/plugins/csi-secrets-store/csi.sock'

/** Makes a server of this host reachable for pods at ADDRESS:8200. */
export async function forwardVault(t: Test, node: KubeNode, port: number): Promise<void> {
  const server = await forwardSocket(node.vaultSocket, port)
  t.teardown(() => server.close())
  startGateway(node)
}

/** Again after a reboot. */
export function startGateway(node: KubeNode): void {
  node.run('gateway', process.execPath, [
    join(import.meta.dirname, '../../real/cluster/node/forward.ts'),
    `tcp:${ADDRESS}:8200`,
    `unix:${node.vaultSocket}`,
  ])
}

/** The driver beside the kubelet, where its own chart would have a DaemonSet. */
export async function startDriver(node: KubeNode, args: readonly string[] = []): Promise<void> {
  await installDriverResources(node)
  await node.api('POST', '/apis/storage.k8s.io/v1/csidrivers', {
    metadata: { name: CsiDriver.driverName },
    spec: {
      podInfoOnMount: true,
      attachRequired: false,
      volumeLifecycleModes: ['Ephemeral'],
      requiresRepublish: true,
      tokenRequests: [{ audience: 'vault', expirationSeconds: 600 }],
    },
  })
  const make = node.run('folders', 'mkdir', ['-p', join(DRIVER_SOCKET, '..')])
  await make.finished()
  node.run('driver', await obtain('secrets-store-csi-driver'), [
    `--endpoint=unix://${DRIVER_SOCKET}`,
    '--nodeid=node-1',
    '--provider-volume=/var/run/secrets-store-csi-providers',
    '--metrics-addr=127.0.0.1:8095',
    ...args,
  ])
  node.run('registrar', process.execPath, [
    join(import.meta.dirname, '../../real/cluster/node/registrar.ts'),
    `/var/lib/kubelet/plugins_registry/${CsiDriver.driverName}-reg.sock`,
    CsiDriver.driverName,
    DRIVER_SOCKET,
  ])
  await node.waitUntil('the driver to be known to the node', async () => {
    const { status, body } = await node.request('GET', '/apis/storage.k8s.io/v1/csinodes/node-1')
    return status === 200 && JSON.stringify(body.spec.drivers).includes(CsiDriver.driverName)
  })
}
