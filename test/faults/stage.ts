import { readFileSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { BlockedAudit } from '../real/faults/blocked-audit.ts'
import { HttpProxy } from '../real/faults/http-proxy.ts'
import { TcpProxy } from '../real/faults/tcp-proxy.ts'
import { revokeTokens } from '../real/vault/revoke-tokens.ts'
import { reloadCertificate } from '../real/vault/served-certificate.ts'
import type { OpenBao } from '../real/vault/openbao.ts'
import type { ServedProgram, Wrap } from '../real/program/served-program.ts'
import type { Surroundings } from './fault.ts'
import {
  openHost,
  SERVER_NAME,
  type Certificate,
  type Certificates,
  type Host,
} from './surroundings.ts'

/** Below the numbers of all files that a program has open, so it can open no other one. */
const NO_FILES = 8

export interface StageOptions {
  readonly kind: Surroundings
  readonly bao: OpenBao
  readonly certificates?: Certificates | undefined
  /** Where a plugin reads its service-account token. */
  readonly tokenFile?: string | undefined
}

/** A program, its Vault, and all that can fail around and between them. */
export class Stage {
  readonly bao: OpenBao
  readonly kind: Surroundings
  /** The network between the program and the proxy. */
  readonly network: TcpProxy
  /** What answers in place of Vault; not with TLS. */
  readonly http: HttpProxy
  readonly audit: BlockedAudit
  readonly #host: Host
  readonly #options: StageOptions
  #program: ServedProgram | undefined
  #token = ''

  static async open(options: StageOptions): Promise<Stage> {
    const { address } = options.bao
    const http = await HttpProxy.start(address)
    const network = await TcpProxy.start(options.kind === 'TLS' ? address : http.address)
    return new Stage(options, http, network, await openHost(options.kind))
  }

  private constructor(options: StageOptions, http: HttpProxy, network: TcpProxy, host: Host) {
    this.#options = options
    this.bao = options.bao
    this.kind = options.kind
    this.http = http
    this.network = network
    this.audit = new BlockedAudit(options.bao)
    this.#host = host
  }

  /** The section `vault` of the program, without its login. */
  get vaultSection(): Record<string, unknown> {
    const { address } = this.network
    return { address, timeout: '1s', ...this.#special }
  }

  get #special(): Record<string, unknown> {
    const { kind, network, bao } = this
    if (kind === 'two addresses') return { address: [network.address, bao.address] }
    if (kind === 'TLS')
      return { caFile: this.#options.certificates?.files.caFile, serverName: SERVER_NAME }
    if (kind !== 'name server') return {}
    return { address: `http://${SERVER_NAME}:${String(network.port)}`, allowPlaintext: true }
  }

  get wrap(): Wrap | undefined {
    return this.#host.wrap
  }

  /** Whether the log is where the test can read it. */
  get hasLog(): boolean {
    return this.#host.disk === undefined && this.#host.pipe === undefined
  }

  get program(): ServedProgram {
    return this.#known(this.#program)
  }

  set program(program: ServedProgram) {
    this.#program = program
  }

  get disk() {
    return this.#known(this.#host.disk)
  }

  get pipe() {
    return this.#known(this.#host.pipe)
  }

  setClock(distance: string): void {
    this.#known(this.#host.clock).set(distance)
  }

  /** The program stands still; meanwhile time passes, connections end, and so do its Vault tokens. */
  async suspend(distance: string): Promise<void> {
    this.program.program.pause()
    await revokeTokens(this.bao)
    await this.#disconnect()
    this.setClock(distance)
    this.program.program.resume()
  }

  async useNames({ isSilent }: { isSilent: boolean }): Promise<void> {
    this.#known(this.#host.names).isSilent = isSilent
    await this.#disconnect()
  }

  /** New connections get this certificate, and there are no others. */
  async presentCertificate(certificate: Certificate): Promise<void> {
    const certificates = this.#known(this.#options.certificates)
    certificates.choose(certificate)
    await reloadCertificate(this.bao, certificates.files.certFile)
    await this.#disconnect()
  }

  async limitFiles(): Promise<void> {
    this.#setFileLimit(String(NO_FILES))
    await this.#disconnect()
  }

  allowFiles(): void {
    this.#setFileLimit('4096')
  }

  emptyTokenFile(): void {
    const file = this.#known(this.#options.tokenFile)
    this.#token = readFileSync(file, 'utf8')
    writeFileSync(file, '')
  }

  writeTokenFile(): void {
    writeFileSync(this.#known(this.#options.tokenFile), this.#token)
  }

  async close(): Promise<void> {
    await Promise.all([this.network.stop(), this.http.stop(), this.#host.stop()])
  }

  #setFileLimit(limit: string): void {
    const { pid } = this.program.program
    execFileSync('prlimit', ['--pid', String(pid), `--nofile=${limit}:4096`])
  }

  async #disconnect(): Promise<void> {
    await this.network.refuse()
    await this.network.pass()
  }

  #known<T>(value: T | undefined): T {
    if (value === undefined) throw new Error(`not part of the surroundings "${this.kind}"`)
    return value
  }
}
