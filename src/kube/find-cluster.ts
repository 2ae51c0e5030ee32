import { existsSync } from 'node:fs'
import { join } from 'node:path'

import type { Environment } from '../environment.ts'
import { BridgeError } from '../errors.ts'
import type { KubeAccess } from './access.ts'
import { findPodAccess } from './in-cluster.ts'
import { readKubeconfig } from './kubeconfig.ts'

export interface KubeconfigOptions {
  readonly kubeconfig?: string | undefined
  readonly context?: string | undefined
  readonly environment: Environment
}

/**
 * Finds the cluster as kubectl does: the given file, KUBECONFIG, ~/.kube/config, or the service account of this pod.
 * Throws USAGE_INVALID if there is none, CONFIG_INVALID if the kubeconfig is invalid.
 */
export async function findCluster(options: KubeconfigOptions): Promise<KubeAccess> {
  const { kubeconfig, context, environment } = options
  const given = kubeconfig ?? environment['KUBECONFIG']
  if (given !== undefined && given !== '') return readKubeconfig(single(given), context)
  const home = environment['HOME']
  const standard = home === undefined ? undefined : join(home, '.kube', 'config')
  if (standard !== undefined && existsSync(standard)) return readKubeconfig(standard, context)
  const inside = findPodAccess(environment)
  if (inside !== undefined && context === undefined) return inside
  throw new BridgeError(
    'USAGE_INVALID',
    'no kubeconfig found; pass --kubeconfig FILE (kubeadm: /etc/kubernetes/admin.conf, k3s: /etc/rancher/k3s/k3s.yaml)',
  )
}

function single(paths: string): string {
  const [first = '', ...others] = paths.split(':').filter((path) => path !== '')
  if (others.length === 0) return first
  throw new BridgeError(
    'USAGE_INVALID',
    'KUBECONFIG names several files, and they are not merged; pass one of them with --kubeconfig FILE',
  )
}
