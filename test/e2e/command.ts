import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROGRAM, run } from '../commands/program.ts'
import type { Etcd } from '../real/cluster/etcd.ts'
import type { KubeApiServer } from '../real/cluster/kube-api-server.ts'
import type { Plugin } from '../real/program/plugin.ts'
import { Program } from '../real/program/program.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { kubeconfigOf } from './kube-config.ts'

export type Seen = {
  /** The first one is that of the kubeconfig. */
  apis: KubeApiServer[]
  plugins?: Plugin[]
  etcd?: Etcd
  /** What is named with --api-server instead of the addresses of `apis`. */
  addresses?: string[]
  /** Authorities of what is in front of the API servers. */
  caFiles?: string[]
}

/** The built program as an operator runs it on one cluster, with a separate home folder. */
export class Operator {
  readonly home = tempFolder('operator')
  readonly kubeconfig: string
  readonly #common: string[]

  /** Each API server of the tests has its own authority and admin token; service accounts belong to the cluster. */
  static async of(seen: Seen): Promise<Operator> {
    const [first] = seen.apis
    if (first === undefined) throw new Error('a cluster has an API server')
    const token = await first.serviceAccountToken('kube-system', 'operator')
    const binding = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings'
    await first.request('POST', binding, {
      metadata: { name: 'operator' },
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'ClusterRole',
        name: 'cluster-admin',
      },
      subjects: [{ kind: 'ServiceAccount', namespace: 'kube-system', name: 'operator' }],
    })
    const caFile = join(tempFolder('authorities'), 'ca.pem')
    const caFiles = [...seen.apis.map((api) => api.caFile), ...(seen.caFiles ?? [])]
    writeFileSync(caFile, caFiles.map((file) => readFileSync(file, 'utf8')).join(''))
    const [server = first.address] = seen.addresses ?? []
    return new Operator(seen, kubeconfigOf(first, { token, caFile, server }))
  }

  private constructor(seen: Seen, kubeconfig: string) {
    const { apis, plugins = [], etcd } = seen
    const addresses = seen.addresses ?? apis.map((api) => api.address)
    this.kubeconfig = kubeconfig
    this.#common = [
      '--kubeconfig',
      kubeconfig,
      ...addresses.flatMap((address) => ['--api-server', address]),
      ...plugins.flatMap((plugin) => ['--plugin', `127.0.0.1:${String(plugin.adminPort)}`]),
      ...(etcd === undefined ? [] : ['--endpoints', etcd.address]),
    ]
  }

  /** Runs a command to its end. */
  run(args: string[], env: Record<string, string> = {}) {
    return run([...args, ...this.#common], { env: { HOME: this.home, ...env } })
  }

  /** Starts a command that a test interrupts. */
  start(args: string[], env: Record<string, string> = {}): Program {
    return Program.start({
      name: args[0] ?? 'command',
      command: PROGRAM,
      args: [...args, ...this.#common],
      folder: tempFolder('command'),
      env: { PATH: process.env['PATH'], HOME: this.home, ...env },
    })
  }
}

/** Does something for each of `count` numbers, several at a time. */
export async function forEachOf(count: number, work: (index: number) => Promise<void>) {
  const numbers = Array.from({ length: count }, (_none, index) => index).values()
  const worker = async () => {
    for (const index of numbers) await work(index)
  }
  await Promise.all(Array.from({ length: 16 }, worker))
}
