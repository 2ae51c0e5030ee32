import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Environment } from '../environment.ts'
import { BridgeError } from '../errors.ts'
import type { KubeAccess } from './access.ts'
import { readKubeconfig } from './kubeconfig.ts'

/** Where kubelet puts what a pod needs (kubernetes: plugin/pkg/admission/serviceaccount). */
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

export interface KubePlace {
  readonly kubeconfig?: string
  readonly context?: string
  readonly environment: Environment
}

/**
 * Finds the cluster as kubectl does: the file that is named, KUBECONFIG, ~/.kube/config; else the service account of the
 * pod that this runs in. Throws USAGE_INVALID if there is none of them, CONFIG_INVALID if what is there is wrong.
 */
export async function findCluster(place: KubePlace): Promise<KubeAccess> {
  const { kubeconfig, context, environment } = place
  const given = kubeconfig ?? environment['KUBECONFIG']
  if (given !== undefined && given !== '') return readKubeconfig(single(given), context)
  const home = environment['HOME']
  const usual = home === undefined ? undefined : join(home, '.kube', 'config')
  if (usual !== undefined && existsSync(usual)) return readKubeconfig(usual, context)
  const inside = readServiceAccount(environment)
  if (inside !== undefined && context === undefined) return inside
  throw new BridgeError(
    'USAGE_INVALID',
    'no cluster is known; give --kubeconfig FILE (kubeadm: /etc/kubernetes/admin.conf, k3s: /etc/rancher/k3s/k3s.yaml)',
  )
}

function single(paths: string): string {
  const [first = '', ...others] = paths.split(':').filter((path) => path !== '')
  if (others.length === 0) return first
  throw new BridgeError(
    'USAGE_INVALID',
    'KUBECONFIG names several files; give one of them by --kubeconfig FILE',
  )
}

function readServiceAccount(environment: Environment): KubeAccess | undefined {
  const host = environment['KUBERNETES_SERVICE_HOST']
  const port = environment['KUBERNETES_SERVICE_PORT'] ?? '443'
  const tokenFile = join(SERVICE_ACCOUNT, 'token')
  const caFile = join(SERVICE_ACCOUNT, 'ca.crt')
  if (host === undefined || !existsSync(tokenFile) || !existsSync(caFile)) return undefined
  const name = host.includes(':') ? `[${host}]` : host
  return {
    server: `https://${name}:${port}`,
    ca: readFileSync(caFile, 'utf8'),
    tokenFile,
    serverNames: [],
  }
}
