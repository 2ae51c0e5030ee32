import { stringify } from 'yaml'
import { CsiDriver, type CsiPod, type Publication } from './csi-driver.ts'
import type { CsiVolume } from './csi-volume.ts'
import { Etcd } from './etcd.ts'
import { KubeApiServer } from './kube-api-server.ts'
import {
  hasClass,
  installDriverResources,
  readPodStatus,
  writeClass,
  type ClassObject,
  type PodStatus,
} from './kube-objects.ts'

export type Tokens = NonNullable<Publication['tokens']>

export type CsiClusterOptions = {
  rotationMs?: number | null
  /** Of the tokens that the kubelet asks for. Default: vault. */
  audience?: string
  extraApiServerArgs?: string[]
}

export type WantedPod = {
  name: string
  /** Default: the name of the pod. */
  serviceAccount?: string
  namespace?: string
  /** The SecretProviderClass of its volume, or of each of its volumes; volumes are named like them. */
  classes: string | string[]
}

export type WantedClass = {
  name: string
  namespace?: string
  /** Default: web. */
  role?: string
  objects: ClassObject[]
  parameters?: Record<string, string>
  secretObjects?: unknown[]
  provider?: string
}

/** A cluster with one node: etcd, kube-apiserver and the real Secrets Store CSI driver; this class is its kubelet. */
export class CsiCluster {
  readonly etcd: Etcd
  readonly api: KubeApiServer
  readonly driver: CsiDriver
  readonly #audience: string
  /** By pod and audience. */
  readonly #tokens = new Map<string, Tokens>()

  static readonly namespace = 'shop'

  static async start(options: CsiClusterOptions = {}): Promise<CsiCluster> {
    const etcd = await Etcd.start()
    const api = await KubeApiServer.start({
      etcd,
      ...(options.extraApiServerArgs === undefined
        ? {}
        : { extraArgs: options.extraApiServerArgs }),
    })
    await installDriverResources(api)
    const driver = await CsiDriver.start({ api, rotationMs: options.rotationMs ?? 1 })
    return new CsiCluster(etcd, api, driver, options.audience ?? 'vault')
  }

  private constructor(etcd: Etcd, api: KubeApiServer, driver: CsiDriver, audience: string) {
    this.etcd = etcd
    this.api = api
    this.driver = driver
    this.#audience = audience
  }

  /** Writes a SecretProviderClass, over the one of that name if there is one. */
  async writeClass(wanted: WantedClass): Promise<void> {
    const { objects, role = 'web', parameters, namespace = CsiCluster.namespace, ...rest } = wanted
    await this.api.createServiceAccount(namespace, 'default')
    await writeClass(this.api, {
      namespace,
      ...rest,
      parameters: { role, objects: stringify(objects), ...parameters },
    })
  }

  /** Makes a pod on the node, with its service account and an inline volume of each class. */
  async createPod(wanted: WantedPod): Promise<CsiPod> {
    const { name, namespace = CsiCluster.namespace, serviceAccount = name, classes } = wanted
    await this.api.createServiceAccount(namespace, serviceAccount)
    const volumes = [classes].flat().map((each) => ({
      name: each,
      csi: {
        driver: CsiDriver.driverName,
        readOnly: true,
        volumeAttributes: { secretProviderClass: each },
      },
    }))
    const made = await this.api.api('POST', `/api/v1/namespaces/${namespace}/pods`, {
      metadata: { name },
      spec: {
        nodeName: this.driver.nodeId,
        serviceAccountName: serviceAccount,
        containers: [{ name: 'main', image: 'none' }],
        volumes,
      },
    })
    return { namespace, name, uid: made.metadata.uid, serviceAccount }
  }

  /**
   * A token of a pod's service account that is bound to the pod, as the kubelet hands it to a driver: the same each
   * time, for most of its life.
   */
  async tokens(pod: CsiPod, audience = this.#audience): Promise<Tokens> {
    const id = `${pod.uid} ${audience}`
    const known = this.#tokens.get(id)
    if (known !== undefined) return known
    const tokens = await this.newTokens(pod, audience)
    this.#tokens.set(id, tokens)
    return tokens
  }

  /** Another token, as after most of the life of the last one. */
  async newTokens(pod: CsiPod, audience = this.#audience): Promise<Tokens> {
    const { namespace, serviceAccount, name, uid } = pod
    const options = { audience, expirationSeconds: 3_600, pod: { name, uid } }
    const token = await this.api.serviceAccountToken(namespace, serviceAccount, options)
    const expirationTimestamp = new Date(Date.now() + 3_600_000).toISOString()
    return { [audience]: { token, expirationTimestamp } }
  }

  /**
   * Publishes or republishes a volume of a pod with the pod's token, unless `wanted` brings some. The driver
   * reads classes from a cache that is some moments behind; that alone is waited for.
   */
  async publish(pod: CsiPod, wanted: string | Publication): Promise<CsiVolume> {
    const publication = typeof wanted === 'string' ? { class: wanted } : wanted
    const tokens = publication.tokens ?? (await this.tokens(pod))
    const publish = () => this.driver.publish(pod, { ...publication, tokens })
    let settled: Promise<CsiVolume> = publish()
    await this.driver.waitUntil(`class ${publication.class} in the driver's cache`, async () => {
      const isBehind = await settled.then(
        () => false,
        (error: Error) =>
          error.message.startsWith('failed to get secretproviderclass') &&
          hasClass(this.api, pod.namespace, publication.class),
      )
      if (isBehind) settled = publish()
      return !isBehind
    })
    return settled
  }

  /** What the driver wrote about a pod's volume, or undefined. */
  podStatus(pod: CsiPod, className: string): Promise<PodStatus | undefined> {
    return readPodStatus(this.api, pod, className)
  }

  async stop(): Promise<void> {
    await this.driver.stop()
    await this.api.stop()
    await this.etcd.stop()
  }
}
