import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { credentials } from '@grpc/grpc-js'
import { obtain } from '../host/parts.ts'
import { CertificateAuthority, type CertificateFiles } from '../host/pki.ts'
import { freePort } from '../host/port.ts'
import { tempFolder } from '../host/temp-folder.ts'
import { EtcdWriter } from './etcd-writer.ts'
import { Program } from '../program/program.ts'

export type EtcdPrograms = { readonly etcd: string; readonly etcdctl: string }

export type SecureEtcdOptions = Partial<EtcdPrograms> & {
  /** An address of this machine. Its certificate names 127.0.0.1 only. */
  readonly host?: string
  /** Default: a new one. */
  readonly authority?: CertificateAuthority
}

/** An etcd of any version that requires client certificates, as that of kubeadm does, driven by its own etcdctl. */
export class SecureEtcd {
  readonly endpoint: string
  readonly authority: CertificateAuthority
  readonly client: CertificateFiles
  readonly #etcdctl: string | undefined
  readonly #server: Program
  #writer: EtcdWriter | undefined

  static async start(options: SecureEtcdOptions = {}): Promise<SecureEtcd> {
    const { host = '127.0.0.1', authority = await CertificateAuthority.create() } = options
    const server = await authority.server('etcd')
    const client = await authority.client('kube-apiserver-etcd-client')
    const folder = tempFolder('secure-etcd')
    const endpoint = `https://${host}:${String(await freePort())}`
    const peer = `http://127.0.0.1:${String(await freePort())}`
    const program = Program.start({
      name: 'etcd',
      command: options.etcd ?? (await obtain('etcd')),
      folder,
      args: [
        '--name=one',
        '--data-dir=data',
        `--listen-client-urls=${endpoint}`,
        `--advertise-client-urls=${endpoint}`,
        `--listen-peer-urls=${peer}`,
        `--initial-advertise-peer-urls=${peer}`,
        `--initial-cluster=one=${peer}`,
        '--client-cert-auth',
        `--trusted-ca-file=${server.caFile}`,
        `--cert-file=${server.certFile}`,
        `--key-file=${server.keyFile}`,
      ],
    })
    await program.waitForLine(/ready to serve client requests|serving client (requests|traffic) /)
    return new SecureEtcd(options.etcdctl, program, endpoint, authority, client)
  }

  private constructor(
    etcdctl: string | undefined,
    server: Program,
    endpoint: string,
    authority: CertificateAuthority,
    client: CertificateFiles,
  ) {
    this.#etcdctl = etcdctl
    this.#server = server
    this.endpoint = endpoint
    this.authority = authority
    this.client = client
  }

  get writer(): EtcdWriter {
    if (this.#writer !== undefined) return this.#writer
    const { caFile, keyFile, certFile } = this.client
    const read = (file: string) => readFileSync(file)
    const security = credentials.createSsl(read(caFile), read(keyFile), read(certFile))
    const target = this.endpoint.replace('https://127.0.0.1', 'localhost')
    this.#writer = new EtcdWriter(target, security)
    return this.#writer
  }

  /** The options of `verify` with this client certificate. */
  access({ certFile, keyFile, caFile }: CertificateFiles = this.client): string[] {
    const files = ['--cacert', caFile, '--cert', certFile, '--key', keyFile]
    return ['--endpoints', this.endpoint, ...files]
  }

  async etcdctl(...args: string[]): Promise<string> {
    const { certFile, keyFile, caFile } = this.client
    const files = [`--cacert=${caFile}`, `--cert=${certFile}`, `--key=${keyFile}`]
    const given = [`--endpoints=${this.endpoint}`, ...files, ...args]
    const env = { ...process.env, ETCDCTL_API: '3' }
    const program = this.#etcdctl ?? (await obtain('etcdctl'))
    const { stdout } = await promisify(execFile)(program, given, { env })
    return stdout
  }

  /** `etcdctl snapshot save`; returns the file. */
  async saveSnapshot(...options: string[]): Promise<string> {
    const file = join(tempFolder('snapshot'), 'backup.db')
    await this.etcdctl(...options, 'snapshot', 'save', file)
    return file
  }

  async stop(): Promise<void> {
    this.#writer?.close()
    await this.#server.terminate({ graceMs: 500 })
  }
}
