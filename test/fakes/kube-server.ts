import { createHash } from 'node:crypto'
import { createServer } from 'node:https'
import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { CertificateAuthority } from '../real/host/pki.ts'

/** The name of its Lease, and that in its metrics. */
const IDENTITY = 'apiserver-fake'
const IDENTITY_HASH = `sha256:${createHash('sha256').update(IDENTITY).digest('hex')}`

export type FakeObject = {
  name: string
  namespace: string
  uid: string
  version: number
  stale: boolean
}
/** With status 0, the connection is closed without a response. */
type Reply = { status: number; body: unknown; headers?: Record<string, string> }
export type Call = { method: string; path: string; query: URLSearchParams; body: unknown }

/** An API server as far as `rewrite` sees one, in memory, with faults that a real one shows only now and then. */
export class FakeKubeServer {
  readonly address: string
  readonly authority: CertificateAuthority
  readonly objects = new Map<string, FakeObject>()
  readonly calls: Call[] = []
  /** Answers in place of the usual ones, while it gives something. */
  intercept: (call: Call) => Reply | undefined = () => undefined
  keyHash = `sha256:${'a'.repeat(64)}`
  health = 'ok'
  /** Of the EncryptionConfiguration; undefined as before Kubernetes 1.34. */
  configHash: string | undefined = 'sha256:c'
  /** When it loaded its EncryptionConfiguration, in seconds since 1970. */
  reloadedAt: number | undefined
  metrics: string | undefined
  /** API groups besides the core. */
  groups: { name: string; versions: { version: string }[] }[] = []
  #version = 100
  readonly #close: () => void

  static async start(): Promise<FakeKubeServer> {
    const authority = await CertificateAuthority.create()
    const { certFile, keyFile } = await authority.server('kube')
    const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const fake = new FakeKubeServer(`https://127.0.0.1:${String(port)}`, authority, () => {
      server.close()
      server.closeAllConnections()
    })
    server.on('request', (request, response) => void fake.#serve(request, response))
    return fake
  }

  private constructor(address: string, authority: CertificateAuthority, close: () => void) {
    this.address = address
    this.authority = authority
    this.#close = close
  }

  add(name: string): FakeObject {
    const object = {
      name,
      namespace: 'default',
      uid: `uid-${name}`,
      version: (this.#version += 1),
      stale: true,
    }
    this.objects.set(name, object)
    return object
  }

  /** A change by another client: the object has another version, and is current. */
  touch(name: string): void {
    const object = this.objects.get(name)
    if (object !== undefined) Object.assign(object, { version: (this.#version += 1), stale: false })
  }

  stop(): void {
    this.#close()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.address)
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString('utf8')
    const call: Call = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      body: text === '' ? undefined : JSON.parse(text),
    }
    this.calls.push(call)
    const { status, body, headers } = this.intercept(call) ?? this.#answer(call)
    if (status === 0) {
      response.destroy()
      return
    }
    const isText = typeof body === 'string'
    response.writeHead(status, {
      'content-type': isText ? 'text/plain' : 'application/json',
      ...headers,
    })
    response.end(isText ? body : JSON.stringify(body))
  }

  #answer(call: Call): Reply {
    const { method, path } = call
    const [, name] = /^\/api\/v1\/namespaces\/default\/secrets\/([^/]+)$/.exec(path) ?? []
    if (name !== undefined)
      return method === 'PATCH' ? this.#patch(name, call) : { status: 403, body: {} }
    switch (path) {
      case '/metrics':
        return { status: 200, body: this.metrics ?? this.#metrics() }
      case '/readyz/kms-providers':
        return { status: this.health === 'ok' ? 200 : 500, body: this.health }
      case '/api/v1/namespaces/kube-system':
        return { status: 200, body: { metadata: { uid: 'cluster-uid' } } }
      case '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases': {
        const spec = { renewTime: new Date().toISOString() }
        return { status: 200, body: { items: [{ metadata: { name: IDENTITY }, spec }] } }
      }
      case '/apis':
        return { status: 200, body: { groups: this.groups } }
      case '/api/v1':
        return { status: 200, body: { resources: RESOURCES } }
      case '/apis/apiregistration.k8s.io/v1/apiservices':
        return {
          status: 200,
          body: { items: [{ spec: { group: 'metrics.k8s.io', service: { name: 'm' } } }] },
        }
      case '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews':
        return { status: 201, body: { status: { allowed: true } } }
      case '/api/v1/namespaces/default/secrets':
      case '/api/v1/secrets':
        return this.#list(call.query)
      default:
        return {
          status: 404,
          body: { message: 'the server could not find the requested resource' },
        }
    }
  }

  #metrics(): string {
    const now = Date.now() / 1000
    const name = 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds'
    return [
      `${name}{apiserver_id_hash="${IDENTITY_HASH}",key_id_hash="sha256:old",provider_name="tb"} ${String(now - 90)}`,
      `${name}{apiserver_id_hash="${IDENTITY_HASH}",key_id_hash="${this.keyHash}",provider_name="tb"} ${String(now - 5)}`,
      `apiserver_envelope_encryption_key_id_hash_last_timestamp_seconds{apiserver_id_hash="${IDENTITY_HASH}",key_id_hash="sha256:old",provider_name="tb",transformation_type="to_storage"} ${String(now - 80)}`,
      ...(this.configHash === undefined
        ? []
        : [
            `apiserver_encryption_config_controller_last_config_info{apiserver_id_hash="${IDENTITY_HASH}",hash="${this.configHash}"} 1`,
          ]),
      ...(this.reloadedAt === undefined
        ? []
        : [
            `apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds{apiserver_id_hash="${IDENTITY_HASH}",status="success"} ${String(this.reloadedAt)}`,
          ]),
    ].join('\n')
  }

  #list(query: URLSearchParams): Reply {
    const limit = Number(query.get('limit') ?? Infinity)
    const from = query.get('continue') ?? ''
    const selector = query.get('fieldSelector')
    const behind = [...this.objects.values()]
      .filter(({ name }) => name > from)
      .filter(({ name }) => selector === null || selector === `metadata.name=${name}`)
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    const page = behind.slice(0, limit)
    const left = behind.length - page.length
    return {
      status: 200,
      body: {
        metadata: left === 0 ? {} : { continue: page.at(-1)?.name, remainingItemCount: left },
        items: page.length === 0 ? null : page.map(metadataOf),
      },
    }
  }

  #patch(name: string, { body, query }: Call): Reply {
    const object = this.objects.get(name)
    if (object === undefined) return { status: 404, body: {} }
    const { metadata = {} } = body as { metadata?: { uid?: string; resourceVersion?: string } }
    const { uid = object.uid, resourceVersion = String(object.version) } = metadata
    if (uid !== object.uid || resourceVersion !== String(object.version))
      return { status: 409, body: { message: 'the object has been modified' } }
    if (object.stale && query.get('dryRun') !== 'All')
      Object.assign(object, { stale: false, version: (this.#version += 1) })
    return { status: 200, body: metadataOf(object) }
  }
}

const RESOURCES = [
  { name: 'secrets', namespaced: true, verbs: ['list', 'patch'] },
  { name: 'secrets/status', namespaced: true, verbs: ['patch'] },
  { name: 'bindings', namespaced: true, verbs: ['create'] },
]

function metadataOf({ name, namespace, uid, version }: FakeObject) {
  return { metadata: { name, namespace, uid, resourceVersion: String(version) } }
}
