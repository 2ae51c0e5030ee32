import { request as httpRequest } from 'node:http'
import { join } from 'node:path'

import type { CsiRule, CsiRuntimeConfig } from '../../../src/config/config.ts'
import { CSI_OPERATIONS } from '../../../src/config/config.ts'
import { startRuntimeDriver } from '../../../src/csi/runtime/driver.ts'
import { Node, VolumeCapability_AccessMode_Mode as Mode } from '../../../src/gen/csi/v1/csi_pb.ts'
import { systemClock } from '../../../src/time/clock.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { GrpcClient } from '../../real/program/grpc-client.ts'
import { CSI_CONFIG, startFixture, type FixtureOptions } from '../fixture.ts'
import { ROLE, newPod, type Pod, type PodVault } from '../pod-vault.ts'

export const DRIVER = 'transit.transit-bridge.io'

export const ALLOW_RUNTIME: CsiRule = {
  namespaces: ['*'],
  serviceAccounts: ['*'],
  roles: ['*'],
  keys: ['*'],
  types: [],
  operations: CSI_OPERATIONS,
}

export const RUNTIME_POLICY = `
path "transit/encrypt/+" { capabilities = ["update"] }
path "transit/decrypt/+" { capabilities = ["update"] }
path "transit/rewrap/+" { capabilities = ["update"] }
path "transit/sign/*" { capabilities = ["update"] }
path "transit/verify/*" { capabilities = ["update"] }
path "transit/hmac/*" { capabilities = ["update"] }
path "transit/datakey/+/+" { capabilities = ["update"] }
path "transit/random" { capabilities = ["update"] }
path "transit/random/*" { capabilities = ["update"] }
path "transit/hash" { capabilities = ["update"] }
path "transit/hash/*" { capabilities = ["update"] }
path "transit/keys/+" { capabilities = ["read"] }
path "transit/keys" { capabilities = ["list"] }
`

export type RuntimeOptions = FixtureOptions & {
  /** Default: a new folder. A second driver over the same folder is a restart. */
  readonly folder?: string
  readonly runtimeConfig?: Partial<CsiRuntimeConfig>
}

/** Runs the driver in this process, with real sockets and a real OpenBao. */
export async function startRuntime(vault: PodVault, options: RuntimeOptions = {}) {
  const { folder = tempFolder('rt'), runtimeConfig, rules = [ALLOW_RUNTIME], ...rest } = options
  const fixture = await startFixture(vault, { rules, ...rest })
  const socket = join(folder, 'csi.sock')
  const driver = await startRuntimeDriver({
    audience: CSI_CONFIG.audience,
    runtime: {
      driverName: DRIVER,
      socket,
      registrationSocket: join(folder, 'reg.sock'),
      stateFolder: join(folder, 's'),
      nodeName: 'node-1',
      maxRequestsPerSecond: 10_000,
      ...runtimeConfig,
    },
    home: fixture.provider.home,
    rules: fixture.provider.rules,
    sessions: fixture.provider.sessions,
    programVersion: '1.2.3',
    clock: options.clock ?? systemClock,
    log: fixture.log,
    metrics: fixture.metrics,
  }).catch(async (error: unknown) => {
    await fixture.stop()
    throw error
  })
  const kubelet = new Kubelet(vault, socket, folder)
  return {
    ...fixture,
    folder,
    runtime: driver,
    kubelet,
    registrationSocket: join(folder, 'reg.sock'),
    stop: async () => {
      kubelet.close()
      await driver.stop()
      await fixture.stop()
    },
  }
}

export type PublishChange = {
  readonly attributes?: Record<string, string | undefined>
  readonly secrets?: Record<string, string>
  readonly readonly?: boolean
  readonly volumeId?: string
  readonly targetPath?: string
  readonly isBlock?: boolean
  readonly withoutCapability?: boolean
}

/** Returns the tokens of a pod by audience, as JSON. */
type TokenIssuer = Pick<PodVault, 'tokens'> | { tokens(pod: Pod): Promise<string> }

/** Calls the driver as the kubelet does. */
export class Kubelet {
  readonly #vault: TokenIssuer
  readonly #folder: string
  readonly client: GrpcClient

  constructor(vault: TokenIssuer, socket: string, folder: string) {
    this.#vault = vault
    this.#folder = folder
    this.client = new GrpcClient(socket, 30_000)
  }

  targetOf(pod: Pod): string {
    return join(this.#folder, `mount-${pod.uid}`)
  }

  idOf(pod: Pod): string {
    return `csi-${pod.uid.replaceAll('-', '').padEnd(64, '0')}`
  }

  /** Publishes the volume of a pod; returns the pod's view of its socket. */
  async publish(pod: Pod = newPod(), change: PublishChange = {}): Promise<PodSocket> {
    const targetPath = change.targetPath ?? this.targetOf(pod)
    await this.client.call(Node.method.nodePublishVolume, {
      volumeId: change.volumeId ?? this.idOf(pod),
      targetPath,
      ...(change.withoutCapability === true
        ? {}
        : {
            volumeCapability: {
              accessType:
                change.isBlock === true
                  ? { case: 'block' as const, value: {} }
                  : { case: 'mount' as const, value: {} },
              accessMode: { mode: Mode.SINGLE_NODE_WRITER },
            },
          }),
      readonly: change.readonly ?? true,
      secrets: change.secrets ?? {},
      volumeContext: await this.#context(pod, change.attributes),
    })
    return new PodSocket(join(targetPath, 'vault.sock'))
  }

  async unpublish(pod: Pod, targetPath = this.targetOf(pod)): Promise<void> {
    await this.client.call(Node.method.nodeUnpublishVolume, {
      volumeId: this.idOf(pod),
      targetPath,
    })
  }

  close(): void {
    this.client.close()
  }

  async #context(
    pod: Pod,
    change: Record<string, string | undefined> = {},
  ): Promise<Record<string, string>> {
    const all = {
      role: ROLE,
      'csi.storage.k8s.io/ephemeral': 'true',
      'csi.storage.k8s.io/pod.name': pod.name,
      'csi.storage.k8s.io/pod.namespace': pod.namespace,
      'csi.storage.k8s.io/pod.uid': pod.uid,
      'csi.storage.k8s.io/serviceAccount.name': pod.serviceAccount,
      'csi.storage.k8s.io/serviceAccount.tokens': await this.#vault.tokens(pod),
      ...change,
    }
    return Object.fromEntries(
      Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined),
    )
  }
}

export type Answer = {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly text: string
  readonly json: { data: Record<string, unknown>; errors?: string[] }
}

export type Asked = {
  readonly method?: string
  readonly body?: object | string | Buffer
  readonly headers?: Record<string, string>
}

/** A response that is cut off, or is not from Vault. */
export class NoJsonError extends Error {
  readonly code = 'NO_JSON'

  constructor(status: number) {
    super(`the body of the response (status ${String(status)}) is not JSON`)
  }
}

/** A client in the pod. */
export class PodSocket {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /** Sends a request to `/v1/PATH`; POST if there is a body. */
  ask(path: string, { method, body, headers = {} }: Asked = {}): Promise<Answer> {
    const content =
      body === undefined || typeof body === 'string' || Buffer.isBuffer(body)
        ? body
        : JSON.stringify(body)
    return new Promise((resolve, reject) => {
      const sent = httpRequest(
        {
          socketPath: this.path,
          path: path.startsWith('/') ? path : `/v1/${path}`,
          method: method ?? (content === undefined ? 'GET' : 'POST'),
          headers,
          agent: false,
        },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', reject)
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString('utf8')
            const { statusCode: status = 0, headers: received } = response
            try {
              const json = text === '' ? { data: {} } : (JSON.parse(text) as Answer['json'])
              resolve({ status, headers: received, text, json })
            } catch {
              reject(new NoJsonError(status))
            }
          })
        },
      )
      sent.on('error', reject)
      sent.end(content)
    })
  }
}
