import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Agent, request } from 'undici'
import { parseAudit } from './audit-log.ts'
import type { AuditFilter, AuditRequest } from './audit-log.ts'
import { cached } from '../host/cache.ts'
import type { JsonBody } from '../program/json-body.ts'
import { obtain } from '../host/parts.ts'
import { freePort } from '../host/port.ts'
import { Program } from '../program/program.ts'
import type { NetworkHost } from '../host/private-network.ts'
import type { Wrap } from '../program/served-program.ts'
import { tempFolder } from '../host/temp-folder.ts'

export type OpenBaoOptions = {
  /** Serve TLS. With `clientCaFile` client certificates are asked for, as a cert login needs. */
  tls?: {
    certFile: string
    keyFile: string
    caFile: string
    clientCaFile?: string
    /** Every connection must present a certificate of `clientCaFile`; the test's own requests use this one. */
    required?: { certFile: string; keyFile: string }
  }
  /** Write every request to an audit file, so that a test can count them. Default: true. */
  audit?: boolean
  /** Where its data lives; a folder of a stopped OpenBao continues that one. Default: a new one. */
  dir?: string
  /**
   * Initialize it again, with a root token and an unseal key that no other server has. By default
   * it starts from a copy of an initialised empty one, which saves 1.5 s.
   */
  fresh?: boolean
  /** A member of a raft cluster: its name, a running member to join, and whether it answers as a standby. See OpenBaoCluster. */
  member?: { name: string; join?: OpenBao | undefined; standbyReads?: boolean }
  /** The host that it runs on, which this process must reach. Default: 127.0.0.1. */
  host?: Pick<NetworkHost, 'address' | 'wrap'> | undefined
  /** Another release. */
  release?: Release | undefined
}

export type Release = 'bao' | 'bao-2.6'

export type Answer = { status: number; body: JsonBody }

export type RequestOptions = {
  /** Default: the root token; null sends none. */
  token?: string | null
  namespace?: string
  headers?: Record<string, string>
}

type RestartOptions = { sealed?: boolean; release?: Release | undefined }

type Launched = {
  binary: string
  dir: string
  address: string
  trust: Trust | undefined
  wrap: Wrap | undefined
}

type Keys = { rootToken: string; unsealKey: string }

/** A place in the audit file. */
export type AuditMark = number

/**
 * A real OpenBao (or the HashiCorp Vault on the PATH) with raft storage and one unseal key, on
 * 127.0.0.1. It can be sealed, killed and started again with the same address and data.
 */
export class OpenBao {
  readonly address: string
  readonly dir: string
  readonly #wrap: Wrap
  readonly #agent: Agent
  #binary: string
  #keys: Keys
  #program: Program
  #standbyIsReady = false

  /** Starts one; it is unsealed and ready for requests when this returns. */
  static async start(options: OpenBaoOptions = {}): Promise<OpenBao> {
    const binary = await obtain(usesVault() ? 'vault' : (options.release ?? 'bao'))
    const dir = options.dir ?? tempFolder('openbao')
    const continued = existsSync(join(dir, 'keys.json'))
    if (!continued) {
      await mkdir(join(dir, 'raft'), { recursive: true })
      const copied = options.fresh !== true && options.member === undefined
      if (copied) await cp(await seedFolder(binary), dir, { recursive: true })
    }
    return OpenBao.#startIn(binary, dir, options)
  }

  static async #startIn(binary: string, dir: string, options: OpenBaoOptions): Promise<OpenBao> {
    const port = await freePort()
    const clusterPort = await freePort()
    const isVault = basename(binary) === 'vault'
    const audit = options.audit ?? true
    const host = options.host?.address ?? '127.0.0.1'
    await writeFile(
      join(dir, 'openbao.hcl'),
      configuration({
        host,
        port,
        clusterPort,
        isVault,
        audit,
        tls: options.tls,
        node: options.member?.name ?? 'one',
        standbyReads: options.member?.standbyReads ?? true,
      }),
    )
    const scheme = options.tls === undefined ? 'http' : 'https'
    const trust = options.tls === undefined ? undefined : await trustOf(options.tls)
    const address = `${scheme}://${host}:${port}`
    const bao = new OpenBao({ binary, dir, address, trust, wrap: options.host?.wrap })
    bao.#standbyIsReady = options.member?.join !== undefined
    await bao.#answers()
    const keysFile = join(dir, 'keys.json')
    const leader = options.member?.join
    if (leader !== undefined) await bao.#join(leader)
    else if (existsSync(keysFile)) bao.#keys = JSON.parse(await readFile(keysFile, 'utf8')) as Keys
    else {
      const { body } = await bao.request(
        'PUT',
        'sys/init',
        { secret_shares: 1, secret_threshold: 1 },
        { token: null },
      )
      bao.#keys = { rootToken: body.root_token, unsealKey: body.keys_base64[0] }
      await writeFile(keysFile, JSON.stringify(bao.#keys), { mode: 0o600 })
    }
    await bao.unseal()
    bao.#standbyIsReady = options.member !== undefined
    if (isVault && audit) await bao.#enableAuditByApi()
    return bao
  }

  /** Makes the initialised empty data that others start from. */
  static async seed(binary: string, dir: string): Promise<void> {
    const work = tempFolder('openbao-seed')
    await mkdir(join(work, 'raft'))
    const bao = await OpenBao.#startIn(binary, work, { audit: false })
    await bao.stop()
    await cp(join(work, 'raft'), join(dir, 'raft'), { recursive: true })
    await cp(join(work, 'keys.json'), join(dir, 'keys.json'))
  }

  private constructor({ binary, dir, address, trust, wrap = (line) => line }: Launched) {
    this.#binary = binary
    this.dir = dir
    this.address = address
    this.#wrap = wrap
    this.#agent = new Agent(trust === undefined ? {} : { connect: trust })
    this.#keys = { rootToken: '', unsealKey: '' }
    this.#program = this.#launch()
  }

  get rootToken(): string {
    return this.#keys.rootToken
  }

  get port(): number {
    return Number(new URL(this.address).port)
  }

  get pid(): number {
    return this.#program.pid
  }

  /** What the server wrote to its own log. */
  log(): string {
    return this.#program.output()
  }

  /**
   * Sends one request, by default as root; `path` is what follows `/v1/`. A Buffer is sent as it is,
   * anything else as JSON. The body of the answer is the parsed JSON, or a Buffer where it is none,
   * or undefined where there is none. Throws only when no answer comes.
   */
  async request(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'LIST',
    path: string,
    body?: unknown,
    options: RequestOptions = {},
  ): Promise<Answer> {
    const token = options.token === undefined ? this.rootToken : options.token
    const answer = await request(`${this.address}/v1/${path}`, {
      method,
      dispatcher: this.#agent,
      headers: {
        ...(token === null ? {} : { 'x-vault-token': token }),
        ...(options.namespace === undefined ? {} : { 'x-vault-namespace': options.namespace }),
        ...(method === 'PATCH' ? { 'content-type': 'application/merge-patch+json' } : {}),
        ...options.headers,
      },
      ...(body === undefined ? {} : { body: Buffer.isBuffer(body) ? body : JSON.stringify(body) }),
    })
    const bytes = Buffer.from(await answer.body.arrayBuffer())
    return { status: answer.statusCode, body: parsed(bytes) }
  }

  /** As `request`, as root; returns the body alone and throws, with Vault's words, on 400 and above. */
  async api(
    method: Parameters<OpenBao['request']>[0],
    path: string,
    body?: unknown,
    options?: RequestOptions,
  ): Promise<JsonBody> {
    const answer = await this.request(method, path, body, options)
    if (answer.status < 400) return answer.body
    const words = JSON.stringify(answer.body?.errors ?? answer.body)
    throw new Error(`${method} ${path}: ${answer.status} ${words}`)
  }

  /** Seals it: it runs and answers every request with 503. */
  async seal(): Promise<void> {
    await this.api('PUT', 'sys/seal')
  }

  /** Unseals it; it is the active node (in a cluster: active or standby) and serves when this returns. */
  async unseal(): Promise<void> {
    const { unsealKey } = this.#keys
    await this.api('PUT', 'sys/unseal', { key: unsealKey }, { token: null })
    await this.#program.waitUntil('being active', async () => {
      // A single node is a standby (429) for a moment before it becomes active.
      const { status } = await this.request('GET', 'sys/health', undefined, { token: null })
      return status === 200 || (status === 429 && this.#standbyIsReady)
    })
  }

  /** Joins the raft cluster of a running member, whose root token and unseal key become its own. */
  async #join(leader: OpenBao): Promise<void> {
    this.#keys = leader.#keys
    const body = { leader_api_addr: leader.address }
    await this.api('PUT', 'sys/storage/raft/join', body, { token: null })
  }

  /** Kills it, as a power cut would. */
  async kill(): Promise<void> {
    await this.#program.kill()
  }

  /** Stops it in the ordinary way. */
  async stop(): Promise<void> {
    await this.#program.terminate()
    await this.#agent.destroy()
  }

  /**
   * Starts it again (after stopping it, if it runs) with the same address and data. Unsealed, unless
   * `sealed` is true. With another release from then on, if one is named.
   */
  async restart({ sealed = false, release }: RestartOptions = {}): Promise<void> {
    await this.#program.terminate()
    if (release !== undefined) this.#binary = await obtain(release)
    this.#program = this.#launch()
    await this.#answers()
    if (!sealed) await this.unseal()
  }

  /** Freezes the process: connections are accepted by the kernel and nothing is answered. */
  pause(): void {
    this.#program.pause()
  }

  /** Ends a pause; what came in meanwhile is answered now. */
  resume(): void {
    this.#program.resume()
  }

  /** Makes it read its certificate files again. */
  reload(): void {
    this.#program.signal('SIGHUP')
  }

  /** A place in the audit file: what comes after it is what was asked after this call. */
  auditMark(): AuditMark {
    const file = join(this.dir, 'audit.log')
    return existsSync(file) ? statSync(file).size : 0
  }

  /** The audited requests, oldest first: those of the test itself, too, so mark the place or filter. */
  auditRequests(filter: AuditFilter & { since?: AuditMark } = {}): AuditRequest[] {
    return parseAudit(this.rawAudit(filter.since), filter)
  }

  /** The audit file as text, for checks that something is not in it. */
  rawAudit(since: AuditMark = 0): string {
    const file = join(this.dir, 'audit.log')
    return existsSync(file) ? readFileSync(file).subarray(since).toString('utf8') : ''
  }

  #launch(): Program {
    const line = { command: this.#binary, args: ['server', '-config=openbao.hcl'] }
    return Program.start({ name: 'openbao', ...this.#wrap(line), folder: this.dir })
  }

  async #answers(): Promise<void> {
    await this.#program.waitUntil('an answer', async () => {
      await this.request('GET', 'sys/seal-status', undefined, { token: null })
      return true
    })
  }

  async #enableAuditByApi(): Promise<void> {
    const devices = await this.api('GET', 'sys/audit')
    if (devices['requests/'] !== undefined) return
    await this.api('PUT', 'sys/audit/requests', {
      type: 'file',
      options: { file_path: join(this.dir, 'audit.log'), log_raw: 'false' },
    })
  }
}

/** Whether tests run against HashiCorp Vault instead of OpenBao: `npm run test:vault` sets this. */
export function usesVault(): boolean {
  return process.env['TRANSIT_BRIDGE_TEST_VAULT'] === '1'
}

type Trust = { ca: string; cert?: string; key?: string }

async function trustOf(tls: NonNullable<OpenBaoOptions['tls']>): Promise<Trust> {
  const ca = await readFile(tls.caFile, 'utf8')
  if (tls.required === undefined) return { ca }
  const { certFile, keyFile } = tls.required
  return { ca, cert: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8') }
}

/** One seed for each version of the program: data of a newer one could not be read by an older one. */
async function seedFolder(binary: string): Promise<string> {
  const probe = tempFolder('openbao-version')
  const program = Program.start({
    name: 'version',
    command: binary,
    args: ['version'],
    folder: probe,
  })
  await program.finished()
  const hash = createHash('sha256').update(program.output()).digest('hex').slice(0, 16)
  return cached(`${basename(binary)}-seed-${hash}`, (folder) => OpenBao.seed(binary, folder))
}

/**
 * File names are relative to the working folder: raft data that was copied from elsewhere is refused
 * when the audit device's path in the configuration has changed.
 */
function configuration(given: {
  host: string
  port: number
  clusterPort: number
  isVault: boolean
  audit: boolean
  tls: OpenBaoOptions['tls']
  node: string
  standbyReads: boolean
}): string {
  const { tls } = given
  const scheme = tls === undefined ? 'http' : 'https'
  const listener =
    tls === undefined
      ? ['tls_disable = true']
      : [
          `tls_cert_file = ${JSON.stringify(tls.certFile)}`,
          `tls_key_file = ${JSON.stringify(tls.keyFile)}`,
          ...(tls.clientCaFile === undefined
            ? []
            : [`tls_client_ca_file = ${JSON.stringify(tls.clientCaFile)}`]),
          ...(tls.required === undefined ? [] : ['tls_require_and_verify_client_cert = true']),
        ]
  const lines = [
    'storage "raft" {',
    '  path = "raft"',
    `  node_id = ${JSON.stringify(given.node)}`,
    '  performance_multiplier = 1',
    '}',
    'listener "tcp" {',
    `  address = "${given.host}:${given.port}"`,
    `  cluster_address = "${given.host}:${given.clusterPort}"`,
    ...listener.map((line) => `  ${line}`),
    '}',
    `api_addr = "${scheme}://${given.host}:${given.port}"`,
    `cluster_addr = "https://${given.host}:${given.clusterPort}"`,
    ...(given.isVault ? ['disable_mlock = true'] : []),
    ...(given.standbyReads || given.isVault ? [] : ['disable_standby_reads = true']),
  ]
  // OpenBao takes audit devices from its configuration alone, Vault from its API alone.
  if (given.audit && !given.isVault) {
    lines.push(
      'audit "file" "requests" {',
      '  options {',
      '    file_path = "audit.log"',
      '    log_raw = "false"',
      '  }',
      '}',
    )
  }
  return `${lines.join('\n')}\n`
}

function parsed(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return bytes
  }
}
