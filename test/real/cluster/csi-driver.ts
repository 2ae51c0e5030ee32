import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { stringify } from 'yaml'
import { CsiVolume } from './csi-volume.ts'
import { Node } from '../../../src/gen/csi/v1/csi_pb.ts'
import { VolumeCapability_AccessMode_Mode as Mode } from '../../../src/gen/csi/v1/csi_pb.ts'
import { CallError, GrpcClient, type CallOptions } from '../program/grpc-client.ts'
import type { KubeApiServer } from './kube-api-server.ts'
import { eventually } from '../host/eventually.ts'
import { MountNamespace } from '../host/mount-namespace.ts'
import { obtain } from '../host/parts.ts'
import { freePort } from '../host/port.ts'
import { Program } from '../program/program.ts'
import { findSamples, type Sample } from './prometheus-text.ts'
import { tempFolder } from '../host/temp-folder.ts'
import { rememberSaid } from '../program/told-secrets.ts'

/** How long the kubelet waits for a driver. */
const KUBELET_TIMEOUT = 120_000
const NAME = 'secrets-store.csi.k8s.io'
const TOKENS = 'csi.storage.k8s.io/serviceAccount.tokens'
/** Errors that the kubelet 1.37 takes for "may still be going on" (pkg/volume/csi/csi_client.go, isFinalError). */
const UNCERTAIN = new Set([
  'CANCELLED',
  'DEADLINE_EXCEEDED',
  'UNAVAILABLE',
  'RESOURCE_EXHAUSTED',
  'ABORTED',
])
const DELETE = { recursive: true, force: true } as const

/** A pod as the kubelet knows it. */
export type CsiPod = { namespace: string; name: string; uid: string; serviceAccount: string }

export type Publication = {
  /** The SecretProviderClass. */
  class: string
  /** Default: the name of the class. */
  volumeName?: string
  /** By audience, as TokenRequest gives them. */
  tokens?: Record<string, { token: string; expirationTimestamp: string }>
  /** The volumeAttributes that the author of the pod writes. */
  attributes?: Record<string, string>
  /** Hand the tokens over in `secrets`, as Kubernetes 1.35 and later can, and not in the attributes. */
  tokensInSecrets?: boolean
  secrets?: Record<string, string>
}

export type CsiDriverOptions = {
  api: KubeApiServer
  nodeId?: string
  /** Milliseconds between two requests for one volume; null turns rotation off. Default: 1. */
  rotationMs?: number | null
  extraArgs?: string[]
}

/**
 * The real Secrets Store CSI driver on a node without a kubelet: this class plays the kubelet. Its mounts are in a
 * namespace of their own, which ends with this process.
 */
export class CsiDriver {
  static readonly driverName = NAME
  readonly nodeId: string
  readonly folder: string
  /** Where providers put their sockets, named `<provider>.sock`. */
  readonly providersFolder: string
  readonly #mounts: MountNamespace
  readonly #client: GrpcClient
  readonly #launch: () => Program
  readonly #metricsPort: number
  #program: Program

  static async start(options: CsiDriverOptions): Promise<CsiDriver> {
    const binary = await obtain('secrets-store-csi-driver')
    const folder = tempFolder('csi-driver')
    const mounts = await MountNamespace.start(folder)
    const driver = new CsiDriver(options, binary, folder, mounts, await freePort())
    await driver.#ready()
    return driver
  }

  private constructor(
    { api, nodeId = 'node-1', rotationMs = 1, extraArgs = [] }: CsiDriverOptions,
    binary: string,
    folder: string,
    mounts: MountNamespace,
    metricsPort: number,
  ) {
    this.nodeId = nodeId
    this.folder = folder
    this.providersFolder = join(folder, 'providers')
    this.#mounts = mounts
    this.#metricsPort = metricsPort
    mkdirSync(this.providersFolder, { mode: 0o700 })
    const kubeconfig = join(folder, 'kubeconfig')
    writeFileSync(kubeconfig, kubeconfigFor(api), { mode: 0o600 })
    const args = [
      `--endpoint=unix://${this.#socket}`,
      `--nodeid=${nodeId}`,
      `--drivername=${NAME}`,
      `--provider-volume=${this.providersFolder}`,
      `--additional-provider-volume-paths=${join(folder, 'providers-legacy')}`,
      `--metrics-addr=127.0.0.1:${metricsPort}`,
      `--enable-secret-rotation=${rotationMs !== null}`,
      `--rotation-poll-interval=${rotationMs ?? 1}ms`,
      '--provider-health-check=true',
      '--provider-health-check-interval=1s',
      '--v=5',
      ...extraArgs,
    ]
    this.#launch = () =>
      Program.start({
        name: 'secrets-store-csi-driver',
        ...mounts.inside(binary, args),
        folder,
        env: { PATH: process.env['PATH'], KUBECONFIG: kubeconfig },
      })
    this.#client = new GrpcClient(this.#socket, KUBELET_TIMEOUT)
    this.#program = this.#launch()
  }

  get #socket(): string {
    return join(this.folder, 'csi.sock')
  }

  get log(): string {
    return this.#program.output()
  }

  /** The volume of a pod, whether it is mounted or not. */
  volume(pod: CsiPod, volumeName: string): CsiVolume {
    return new CsiVolume(this.#mounts, this.#targetOf(pod, volumeName))
  }

  /**
   * Publishes a volume, as the kubelet does when a pod starts and about once a minute from then on. Rejects with
   * the CallError that would be the pod's FailedMount event. After a first publish that failed for certain it
   * removes the folder, as the kubelet does; after an error that says too little (UNCERTAIN) the folder stays.
   */
  async publish(pod: CsiPod, wanted: Publication, options?: CallOptions): Promise<CsiVolume> {
    const { volumeName = wanted.class } = wanted
    const volume = this.volume(pod, volumeName)
    const isRepublish = volume.type !== undefined
    try {
      await this.#publish(pod, volumeName, wanted, options)
    } catch (error) {
      if (error instanceof CallError) rememberSaid(error.message)
      const isFinal = error instanceof CallError && !UNCERTAIN.has(error.code)
      if (isFinal && !isRepublish) rmSync(this.#targetOf(pod, volumeName), DELETE)
      throw error
    }
    return volume
  }

  async #publish(
    pod: CsiPod,
    volumeName: string,
    wanted: Publication,
    options: CallOptions | undefined,
  ): Promise<void> {
    const { tokens, tokensInSecrets = false } = wanted
    const targetPath = this.#targetOf(pod, volumeName)
    // The parent is the kubelet's; the leaf is the driver's.
    mkdirSync(dirname(targetPath), { recursive: true, mode: 0o750 })
    const handedOver = tokens === undefined ? {} : { [TOKENS]: JSON.stringify(tokens) }
    await this.#client.call(
      Node.method.nodePublishVolume,
      {
        volumeId: volumeIdOf(pod, volumeName),
        targetPath,
        readonly: true,
        volumeCapability: {
          accessType: { case: 'mount', value: {} },
          accessMode: { mode: Mode.SINGLE_NODE_WRITER },
        },
        secrets: { ...wanted.secrets, ...(tokensInSecrets ? handedOver : {}) },
        volumeContext: {
          ...wanted.attributes,
          secretProviderClass: wanted.class,
          'csi.storage.k8s.io/pod.name': pod.name,
          'csi.storage.k8s.io/pod.namespace': pod.namespace,
          'csi.storage.k8s.io/pod.uid': pod.uid,
          'csi.storage.k8s.io/serviceAccount.name': pod.serviceAccount,
          'csi.storage.k8s.io/ephemeral': 'true',
          ...(tokensInSecrets ? {} : handedOver),
        },
      },
      options,
    )
  }

  /** Unpublishes a volume, as the kubelet does when its pod is gone: it tries again while the mount is busy. */
  async unpublish(pod: CsiPod, volumeName: string): Promise<void> {
    const targetPath = this.#targetOf(pod, volumeName)
    const volumeId = volumeIdOf(pod, volumeName)
    await eventually('the volume to be unpublished', async () => {
      await this.#client.call(Node.method.nodeUnpublishVolume, { volumeId, targetPath })
      return true
    })
  }

  /** Whether the leaf of a volume is there on the disk, mounted or not. */
  hasLeaf(pod: CsiPod, volumeName: string): boolean {
    return statSync(this.#targetOf(pod, volumeName), { throwIfNoEntry: false }) !== undefined
  }

  /** The samples of one metric that have all these labels, as they are now. */
  async samples(name: string, labels?: Record<string, string>): Promise<Sample[]> {
    const answer = await fetch(`http://127.0.0.1:${this.#metricsPort}/metrics`)
    return findSamples(await answer.text(), name, labels)
  }

  /** The sum of those samples. */
  async count(name: string, labels?: Record<string, string>): Promise<number> {
    const samples = await this.samples(name, labels)
    return samples.reduce((sum, { value }) => sum + value, 0)
  }

  /** Waits until `holds` is true; says the end of the driver's log when it does not come to be. */
  waitUntil(...args: Parameters<Program['waitUntil']>): Promise<void> {
    return this.#program.waitUntil(...args)
  }

  /** Kills it and starts it again; what is mounted stays. */
  async restart(): Promise<void> {
    await this.#program.kill()
    rmSync(this.#socket, { force: true })
    this.#program = this.#launch()
    await this.#ready()
  }

  /** Ends it and all that it has mounted. */
  async stop(): Promise<void> {
    this.#client.close()
    await this.#program.terminate({ graceMs: 3_000 })
    await this.#mounts.stop()
  }

  async #ready(): Promise<void> {
    await this.#program.waitForSocket(this.#socket)
  }

  /** Of this shape, or the driver syncs no Secrets. */
  #targetOf(pod: CsiPod, volumeName: string): string {
    const volumes = join(this.folder, 'kubelet', 'pods', pod.uid, 'volumes')
    return join(volumes, 'kubernetes.io~csi', volumeName, 'mount')
  }
}

function volumeIdOf(pod: CsiPod, volumeName: string): string {
  return `csi-${pod.uid}-${volumeName}`
}

function kubeconfigFor(api: KubeApiServer): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'test', cluster: { server: api.address, 'certificate-authority': api.caFile } },
    ],
    users: [{ name: 'driver', user: { token: api.adminToken } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'driver' } }],
    'current-context': 'test',
  })
}
