import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Environment } from '../environment.ts'
import { BridgeError } from '../errors.ts'
import type { KubeAccess } from './access.ts'

/** Where the kubelet mounts a pod's service account (kubernetes: plugin/pkg/admission/serviceaccount/admission.go). */
const FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount'

/** The API server as the pod of this process reaches it, with the pod's service account; undefined outside of a pod. */
export function findPodAccess(environment: Environment, folder = FOLDER): KubeAccess | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = environment
  const [tokenFile, caFile] = [join(folder, 'token'), join(folder, 'ca.crt')]
  if (host === undefined || !existsSync(tokenFile) || !existsSync(caFile)) return undefined
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    ca: readFileSync(caFile, 'utf8'),
    tokenFile,
    serverNames: [],
  }
}

/** As {@link findPodAccess}; throws HOST_FAILED outside of a pod. */
export function requirePodAccess(environment: Environment, folder = FOLDER): KubeAccess {
  const access = findPodAccess(environment, folder)
  if (access !== undefined) return access
  const message =
    environment['KUBERNETES_SERVICE_HOST'] === undefined
      ? 'KUBERNETES_SERVICE_HOST is not set; run this command in a pod'
      : `${folder} has no token and ca.crt; mount the service-account token (automountServiceAccountToken)`
  throw new BridgeError('HOST_FAILED', message)
}
