import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { credentials } from '@grpc/grpc-js'
import { CertificateAuthority, type CertificateFiles } from '../host/pki.ts'
import { freePort } from '../host/port.ts'
import { tempFolder } from '../host/temp-folder.ts'
import { EtcdWriter } from './etcd-writer.ts'
import { Program } from '../program/program.ts'

export type EtcdPrograms = { readonly etcd: string; readonly etcdctl: string }

/** An etcd of any version with TLS and client certificates, driven by its own etcdctl. */
export class SecureEtcd {
  readonly endpoint: string
  readonly authority: CertificateAuthority
  readonly client: CertificateFiles
  readonly #programs: EtcdPrograms
  readonly #server: Program
  readonly writer: EtcdWriter

  static async start(programs: EtcdPrograms): Promise<SecureEtcd> {
    const authority = await CertificateAuthority.create()
    const server = await authority.server('etcd')
    const client = await authority.client('kube-apiserver-etcd-client')
    const folder = tempFolder('secure-etcd')
    const endpoint = `https://127.0.0.1:${String(await freePort())}`
    const peer = `http://127.0.0.1:${String(await freePort())}`
    const program = Program.start({
      name: 'etcd',
      command: programs.etcd,
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
    return new SecureEtcd(programs, program, endpoint, authority, client)
  }

  private constructor(
    programs: EtcdPrograms,
    server: Program,
    endpoint: string,
    authority: CertificateAuthority,
    client: CertificateFiles,
  ) {
    this.#programs = programs
    this.#server = server
    this.endpoint = endpoint
    this.authority = authority
    this.client = client
    const read = (file: string) => readFileSync(file)
    const security = credentials.createSsl(
      read(client.caFile),
      read(client.keyFile),
      read(client.certFile),
    )
    this.writer = new EtcdWriter(endpoint.replace('https://127.0.0.1', 'localhost'), security)
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
    const { stdout } = await promisify(execFile)(this.#programs.etcdctl, given, { env })
    return stdout
  }

  /** `etcdctl snapshot save`; returns the file. */
  async saveSnapshot(...options: string[]): Promise<string> {
    const file = join(tempFolder('snapshot'), 'backup.db')
    await this.etcdctl(...options, 'snapshot', 'save', file)
    return file
  }

  async stop(): Promise<void> {
    this.writer.close()
    await this.#server.terminate({ graceMs: 500 })
  }
}
