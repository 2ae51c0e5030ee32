import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import type { Test } from 'tap'

import { main } from '../../src/main.ts'
import { OpenBao } from '../real/vault/openbao.ts'
import { ServiceAccountIssuer } from '../real/cluster/service-account.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A stream that keeps what is written to it. */
class Paper extends Writable {
  text = ''
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    done()
  }
}

/** Runs a command line in this process; what the program reads of its environment is given. */
export async function runHere(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const stdout = new Paper()
  const stderr = new Paper()
  const code = await main(args, { stdout, stderr, environment })
  return { code, stdout: stdout.text, stderr: stderr.text }
}

export interface ConfigParts {
  readonly mount?: string
  readonly key?: string
  readonly auth?: string
  /** Of a proxy in front of OpenBao. */
  readonly address?: string
  readonly more?: string
}

/** A fresh OpenBao that nothing was done to, a cluster's keys, and `setup` against both. */
export class SetupFixture {
  readonly bao: OpenBao
  readonly issuer: ServiceAccountIssuer
  readonly folder: string
  readonly keyFile: string

  static async start(t: Test): Promise<SetupFixture> {
    const [bao, issuer] = await Promise.all([OpenBao.start(), ServiceAccountIssuer.create()])
    t.teardown(() => bao.stop())
    return new SetupFixture(bao, issuer)
  }

  private constructor(bao: OpenBao, issuer: ServiceAccountIssuer) {
    this.bao = bao
    this.issuer = issuer
    this.folder = tempFolder('setup')
    this.keyFile = this.write('sa.pub', issuer.publicKeyPem)
    this.configure()
  }

  write(name: string, text: string): string {
    const file = join(this.folder, name)
    writeFileSync(file, text, { mode: 0o600 })
    return file
  }

  configure(parts: ConfigParts = {}): void {
    const { mount = 'transit', key = 'k8s-etcd', auth, more = '' } = parts
    const login =
      auth ?? '{method: jwt, role: transit-bridge-kms, tokenFile: /run/transit-bridge/token}'
    this.write(
      'config.yaml',
      `vault: {address: "${parts.address ?? this.bao.address}", auth: ${login}}
transit: {mount: ${mount}, key: ${key}}
kms: {clusterId: test-cluster}
${more}`,
    )
  }

  /** `setup` with the cluster's keys, with the root token by default. */
  setup(args: readonly string[] = [], token = this.bao.rootToken): Promise<Outcome> {
    return this.bare(
      ['--service-account-key', this.keyFile, '--issuer', this.issuer.issuer, ...args],
      token,
    )
  }

  /** `setup` with nothing but the configuration. */
  bare(args: readonly string[], token = this.bao.rootToken): Promise<Outcome> {
    const config = join(this.folder, 'config.yaml')
    return runHere(['setup', '--config', config, ...args], { VAULT_TOKEN: token })
  }

  /** Logs in as the plugin would; the status and what the token may do. */
  async login(): Promise<{ status: number; policies: readonly string[] }> {
    const jwt = await this.issuer.token({ namespace: 'kube-system', name: 'transit-bridge-kms' })
    const role = 'transit-bridge-kms'
    const { status, body } = await this.bao.request('POST', 'auth/jwt/login', { role, jwt })
    return { status, policies: status === 200 ? body.auth.token_policies : [] }
  }

  /** A token with exactly a policy. */
  async token(policy: string): Promise<string> {
    await this.bao.api('PUT', 'sys/policies/acl/admin-test', { policy })
    const answer = await this.bao.api('POST', 'auth/token/create', { policies: ['admin-test'] })
    return answer.auth.client_token
  }
}
