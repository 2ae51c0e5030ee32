import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import type { Etcd } from './etcd.ts'
import type { JsonBody } from '../program/json-body.ts'
import { obtain, type Part } from '../host/parts.ts'
import { CertificateAuthority } from '../host/pki.ts'
import { freePort } from '../host/port.ts'
import { Program } from '../program/program.ts'
import { rememberSecret } from '../program/told-secrets.ts'
import { findSamples } from './prometheus-text.ts'
import type { Sample } from './prometheus-text.ts'
import { ServiceAccountIssuer } from './service-account.ts'
import { tempFolder } from '../host/temp-folder.ts'

export type KubeApiServerOptions = {
  etcd: Pick<Etcd, 'address'>
  /** Which build of it runs. Default: the current version. */
  part?: Part
  /** An EncryptionConfiguration as YAML. Without one, nothing is encrypted and nothing can be reloaded. */
  encryptionConfig?: string
  /** Added to the flags; one that is there already is replaced. */
  extraArgs?: string[]
  /** Signs the tokens. Pass the same to all API servers of one cluster. Default: a new one. */
  signer?: ServiceAccountIssuer
  dir?: string
  /** The host name that it sees, from which it makes its identity. Default: that of this machine. */
  hostname?: string
  /**
   * Whether to wait until it is ready, not only until it answers: without its KMS plugin, it never becomes ready. Default:
   * true.
   */
  waitReady?: boolean
}

export type TokenOptions = {
  audience?: string | string[]
  expirationSeconds?: number
  pod?: { name: string; uid: string }
}

export type KubeAnswer = { status: number; body: JsonBody }

type Place = {
  dir: string
  command: readonly [string, ...string[]]
  port: number
  caFile: string
  agent: Agent
  token: string
  signer: ServiceAccountIssuer
  args: string[]
}

/** A real kube-apiserver on 127.0.0.1, with RBAC, without a kubelet and without controllers. */
export class KubeApiServer {
  readonly address: string
  readonly dir: string
  /** The certificate authority of its serving certificate. */
  readonly caFile: string
  /** A bearer token of group system:masters. */
  readonly adminToken: string
  readonly #place: Place
  #program: Program

  /** Starts one; it is ready when this returns, unless `waitReady` is false. */
  static async start(options: KubeApiServerOptions): Promise<KubeApiServer> {
    const place = await prepare(options)
    const server = new KubeApiServer(place)
    await server.#up(options.waitReady ?? true)
    return server
  }

  private constructor(place: Place) {
    this.#place = place
    this.dir = place.dir
    this.address = `https://127.0.0.1:${place.port}`
    this.caFile = place.caFile
    this.adminToken = place.token
    this.#program = this.#launch()
  }

  get issuer(): string {
    return this.#place.signer.issuer
  }

  /** What service-account tokens are verified with. */
  get publicKeyPem(): string {
    return this.#place.signer.publicKeyPem
  }

  get pid(): number {
    return this.#program.pid
  }

  log(): string {
    return this.#program.output()
  }

  /**
   * Sends one request as system:masters (or with `token`; null is anonymous). The answer's body is the
   * parsed JSON, or text. Throws only when no answer comes.
   */
  async request(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
    options: { contentType?: string; token?: string | null; timeoutMs?: number } = {},
  ): Promise<KubeAnswer> {
    const { contentType, token = this.adminToken, timeoutMs = 60_000 } = options
    const usual = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
    const answer = await request(`${this.address}${path}`, {
      method,
      dispatcher: this.#place.agent,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      headers: {
        accept: 'application/json',
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': contentType ?? usual }),
      },
      ...(body === undefined
        ? {}
        : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await answer.body.text()
    const isJson = String(answer.headers['content-type']).includes('json')
    return { status: answer.statusCode, body: isJson ? JSON.parse(text) : text }
  }

  /** Like `request`, but returns only the body, and throws with the server's message on 400 and above. */
  async api(
    method: Parameters<KubeApiServer['request']>[0],
    path: string,
    body?: unknown,
  ): Promise<JsonBody> {
    const answer = await this.request(method, path, body)
    if (answer.status < 400) return answer.body
    throw new Error(`${method} ${path}: ${answer.status} ${answer.body?.message ?? answer.body}`)
  }

  /** The values of a Secret. */
  async getSecret(namespace: string, name: string): Promise<Record<string, string>> {
    const found = await this.api('GET', secretPath(namespace, name))
    return Object.fromEntries(
      Object.entries((found.data ?? {}) as Record<string, string>).map(([key, value]) => [
        key,
        Buffer.from(value, 'base64').toString('utf8'),
      ]),
    )
  }

  async createSecret(
    namespace: string,
    name: string,
    values: Record<string, string>,
  ): Promise<void> {
    for (const value of Object.values(values)) if (value !== name) rememberSecret(value)
    await this.api('POST', secretPath(namespace), secret(name, values))
  }

  /** Puts a Secret in the place of the one that is there. */
  async replaceSecret(
    namespace: string,
    name: string,
    values: Record<string, string>,
  ): Promise<void> {
    await this.api('PUT', secretPath(namespace, name), secret(name, values))
  }

  /** A merge patch; without one it changes nothing, which makes the server rewrite stale data. */
  async patchSecret(namespace: string, name: string, patch: unknown = {}): Promise<void> {
    await this.api('PATCH', secretPath(namespace, name), patch)
  }

  async deleteSecret(namespace: string, name: string): Promise<void> {
    await this.api('DELETE', secretPath(namespace, name))
  }

  /** What /readyz says, or one check of it, as `kms-providers`. */
  async readyz(check?: string): Promise<{ status: number; text: string }> {
    return this.#health('readyz', check)
  }

  /** What /livez says, or one check of it. */
  async livez(check?: string): Promise<{ status: number; text: string }> {
    return this.#health('livez', check)
  }

  /** The whole text of /metrics. */
  async metrics(): Promise<string> {
    return this.api('GET', '/metrics')
  }

  /** The samples of one metric that have all these labels, as they are now. */
  async samples(name: string, labels?: Record<string, string>): Promise<Sample[]> {
    return findSamples(await this.metrics(), name, labels)
  }

  /**
   * Makes a service account, if it is not there, and asks for a token of it (TokenRequest), which is bound to
   * a pod if one is given.
   */
  async serviceAccountToken(
    namespace: string,
    name: string,
    options: TokenOptions = {},
  ): Promise<string> {
    const { audience, expirationSeconds = 3600, pod } = options
    await this.createServiceAccount(namespace, name)
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`
    const answer = await this.api('POST', path, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {
        expirationSeconds,
        ...(audience === undefined ? {} : { audiences: [audience].flat() }),
        ...(pod === undefined ? {} : { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', ...pod } }),
      },
    })
    return answer.status.token
  }

  /** Makes a service account and its namespace, if they are not there. */
  async createServiceAccount(namespace: string, name: string): Promise<void> {
    const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`
    await this.#ensure('/api/v1/namespaces', { metadata: { name: namespace } })
    await this.#ensure(accounts, { metadata: { name } })
  }

  /** Waits until `holds` is true; says the end of the server's log when it does not come to be. */
  waitUntil(...args: Parameters<Program['waitUntil']>): Promise<void> {
    return this.#program.waitUntil(...args)
  }

  /** Replaces the file in one step. The server reads it again within a minute, or at a restart. */
  async writeEncryptionConfig(text: string): Promise<void> {
    await replaceEncryptionConfig(this.dir, text)
  }

  async kill(): Promise<void> {
    await this.#program.kill()
  }

  /** Stops it in the ordinary way. */
  async stop(): Promise<void> {
    await this.#program.terminate({ graceMs: 5000 })
    await this.#place.agent.destroy()
  }

  /** Starts it again (after killing it, if it runs) with the same address. */
  async restart({
    encryptionConfig,
    waitReady = true,
  }: { encryptionConfig?: string; waitReady?: boolean } = {}): Promise<void> {
    await this.#program.kill()
    if (encryptionConfig !== undefined) await this.writeEncryptionConfig(encryptionConfig)
    this.#program = this.#launch()
    await this.#up(waitReady)
  }

  async #health(path: string, check?: string): Promise<{ status: number; text: string }> {
    const whole = check === undefined ? `/${path}?verbose` : `/${path}/${check}`
    const { status, body } = await this.request('GET', whole)
    return { status, text: String(body) }
  }

  async #ensure(path: string, object: unknown): Promise<void> {
    const { status, body } = await this.request('POST', path, object)
    if (status !== 409 && status >= 400) throw new Error(`POST ${path}: ${status} ${body?.message}`)
  }

  #launch(): Program {
    const { dir, command, args } = this.#place
    const [first, ...rest] = command
    return Program.start({
      name: 'kube-apiserver',
      command: first,
      args: [...rest, ...args],
      folder: dir,
    })
  }

  async #up(waitReady: boolean): Promise<void> {
    await this.#program.waitUntil(
      waitReady ? 'being ready' : 'an answer',
      async () => {
        const { status, text } = await this.readyz()
        if (waitReady && status !== 200) throw new Error(failedChecks(text))
        return status === 200 || !waitReady
      },
      { timeoutMs: 90_000, intervalMs: 100 },
    )
  }
}

async function prepare(options: KubeApiServerOptions): Promise<Place> {
  const binary = await obtain(options.part ?? 'kube-apiserver')
  const dir = options.dir ?? tempFolder('kube-apiserver')
  await mkdir(dir, { recursive: true })
  const port = await freePort()
  const signer = options.signer ?? (await ServiceAccountIssuer.create())
  const authority = await CertificateAuthority.create('kube-apiserver test CA')
  const serving = await authority.server('kube-apiserver')
  const token = randomBytes(16).toString('hex')
  await writeFile(join(dir, 'tokens.csv'), `${token},admin,admin,system:masters\n`, { mode: 0o600 })
  await writeFile(join(dir, 'sa.key'), signer.privateKeyPem, { mode: 0o600 })
  await writeFile(join(dir, 'sa.pub'), signer.publicKeyPem)
  const args = [
    `--etcd-servers=${options.etcd.address}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${port}`,
    `--tls-cert-file=${serving.certFile}`,
    `--tls-private-key-file=${serving.keyFile}`,
    `--cert-dir=${join(dir, 'certs')}`,
    '--endpoint-reconciler-type=none',
    '--service-cluster-ip-range=10.0.0.0/24',
    '--allow-privileged=true',
    // No controller makes the default service accounts.
    '--disable-admission-plugins=ServiceAccount',
    '--authorization-mode=RBAC',
    `--service-account-issuer=${signer.issuer}`,
    `--service-account-key-file=${join(dir, 'sa.pub')}`,
    `--service-account-signing-key-file=${join(dir, 'sa.key')}`,
    `--token-auth-file=${join(dir, 'tokens.csv')}`,
    '--profiling=false',
    // Nothing is behind the Service "kubernetes"; a stop need not wait for load balancers.
    '--shutdown-delay-duration=0s',
  ]
  if (options.encryptionConfig !== undefined) {
    await replaceEncryptionConfig(dir, options.encryptionConfig)
    args.push(
      `--encryption-provider-config=${encryptionConfigFile(dir)}`,
      '--encryption-provider-config-automatic-reload=true',
    )
  }
  return {
    dir,
    command: options.hostname === undefined ? [binary] : onHost(options.hostname, binary),
    port,
    caFile: authority.caFile,
    agent: new Agent({ connect: { ca: await readFile(authority.caFile, 'utf8') } }),
    token,
    signer,
    args: withExtra(args, options.extraArgs ?? []),
  }
}

/** In a separate UTS namespace, with another host name. */
function onHost(hostname: string, binary: string): readonly [string, ...string[]] {
  return ['unshare', '--uts', 'sh', '-c', 'hostname "$0" && exec "$@"', hostname, binary]
}

function withExtra(args: string[], extra: string[]): string[] {
  const named = new Set(extra.map((arg) => arg.split('=', 1)[0]))
  return [...args.filter((arg) => !named.has(arg.split('=', 1)[0])), ...extra]
}

function encryptionConfigFile(dir: string): string {
  return join(dir, 'encryption.yaml')
}

async function replaceEncryptionConfig(dir: string, text: string): Promise<void> {
  const file = encryptionConfigFile(dir)
  await writeFile(`${file}.new`, text, { mode: 0o600 })
  await rename(`${file}.new`, file)
}

function secretPath(namespace: string, name?: string): string {
  return `/api/v1/namespaces/${namespace}/secrets${name === undefined ? '' : `/${name}`}`
}

function secret(name: string, values: Record<string, string>): unknown {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData: values }
}

function failedChecks(text: string): string {
  const failed = text.split('\n').filter((line) => line.startsWith('[-]'))
  return failed.length === 0 ? text.slice(0, 200) : failed.join('; ')
}
