import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { KubeApiServer } from '../real/cluster/kube-api-server.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

export type KubeconfigOptions = {
  token?: string
  server?: string
  caFile?: string
}

/** Writes a kubeconfig of a cluster's admin; returns its path. */
export function kubeconfigOf(api: KubeApiServer, given: KubeconfigOptions = {}): string {
  const { token = api.adminToken, server = api.address, caFile = api.caFile } = given
  const file = join(tempFolder('kubeconfig'), 'config')
  const text = stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority': caFile } }],
    users: [{ name: 'admin', user: { token } }],
  })
  writeFileSync(file, text, { mode: 0o600 })
  return file
}
