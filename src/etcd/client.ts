import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { checkServerIdentity } from 'node:tls'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf'
import { Client, credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js'

import { BridgeError } from '../errors.ts'
import { Auth, KV, type RangeRequestSchema, type RangeResponse } from '../gen/etcd/v3/rpc_pb.ts'
import { Secret } from '../secret.ts'
import { explainEtcdFault, explainUnreachable } from './fault.ts'

/** Where etcd is, and how one shows who one is: as etcdctl takes it. */
export interface EtcdAccess {
  /** Origins, as `https://127.0.0.1:2379`; at least one, of one cluster. */
  readonly endpoints: readonly string[]
  readonly caFile?: string
  readonly certFile?: string
  readonly keyFile?: string
  readonly login?: { readonly user: string; readonly password: Secret<string> }
}

/** An answer larger than this is refused before it is taken in: it bounds what a page can cost. */
export const LARGEST_ANSWER = 16 * 1024 * 1024
const CALL_TIMEOUT = 15_000
/** How often a call is tried on each endpoint before etcd counts as away. */
const ROUNDS = 2

/** Reads from etcd over gRPC; asks the next endpoint when one is away. It has no way to write. */
export class EtcdClient {
  readonly #access: EtcdAccess
  readonly #channels: readonly Client[]
  #current = 0
  #token: Secret<string> | undefined

  /** Nothing is asked of etcd yet. Throws USAGE_INVALID if a file cannot be read. */
  constructor(access: EtcdAccess) {
    this.#access = access
    this.#channels = access.endpoints.map((endpoint) => openChannel(endpoint, access))
  }

  get endpoint(): string {
    return this.#access.endpoints[this.#current] ?? ''
  }

  /**
   * Throws ETCD_UNREACHABLE, ETCD_DENIED or ETCD_FAILED. With `limit` 1 an answer can still be as large as one
   * value; one of over {@link LARGEST_ANSWER} throws OVERLOADED.
   */
  async range(request: MessageInitShape<typeof RangeRequestSchema>): Promise<RangeResponse> {
    if (this.#access.login !== undefined && this.#token === undefined) await this.#logIn()
    try {
      return await this.#callAnywhere(KV.method.range, request)
    } catch (error) {
      // Tokens end after minutes of idleness, or with the member that made them (etcd: auth/simple_token.go).
      if (!isTokenFault(error) || this.#token === undefined) throw explainEtcdFault(error)
      await this.#logIn()
      return this.#callAnywhere(KV.method.range, request).catch((again: unknown) => {
        throw explainEtcdFault(again)
      })
    }
  }

  close(): void {
    for (const channel of this.#channels) channel.close()
  }

  async #logIn(): Promise<void> {
    const { login } = this.#access
    if (login === undefined) return
    this.#token = undefined
    const request = { name: login.user, password: login.password.reveal() }
    try {
      const { token } = await this.#callAnywhere(Auth.method.authenticate, request)
      this.#token = new Secret(token)
    } catch (error) {
      throw explainEtcdFault(error)
    }
  }

  async #callAnywhere<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    const tries = this.#channels.length * ROUNDS
    for (let count = 1; ; count += 1) {
      try {
        return await this.#call(method, request)
      } catch (error) {
        if (!isAway(error)) throw error
        if (count >= tries) throw await explainUnreachable(this.endpoint, this.#access, error)
        this.#current = (this.#current + 1) % this.#channels.length
      }
    }
  }

  #call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    const channel = this.#channels[this.#current]
    if (channel === undefined) throw new TypeError('an etcd client needs an endpoint')
    const bytes = Buffer.from(toBinary(method.input, create(method.input, request)))
    const metadata = new Metadata()
    if (this.#token !== undefined) metadata.set('token', this.#token.reveal())
    const path = `/${method.parent.typeName}/${method.name}`
    const pass = (message: Buffer) => message
    const options = { deadline: Date.now() + CALL_TIMEOUT }
    return new Promise((resolve, reject) => {
      channel.makeUnaryRequest(path, pass, pass, bytes, metadata, options, (error, answer) => {
        if (error !== null) reject(error)
        else resolve(fromBinary(method.output, answer ?? Buffer.alloc(0)))
      })
    })
  }
}

function openChannel(endpoint: string, access: EtcdAccess): Client {
  const { host, hostname, protocol } = new URL(endpoint)
  const name = hostname.replace(/^\[|\]$/g, '')
  const security =
    protocol === 'https:'
      ? credentials.createSsl(
          readOption('--cacert', access.caFile),
          readOption('--key', access.keyFile),
          readOption('--cert', access.certFile),
          { checkServerIdentity: (_name, certificate) => checkServerIdentity(name, certificate) },
        )
      : credentials.createInsecure()
  return new Client(`dns:///${host}`, security, {
    'grpc.max_receive_message_length': LARGEST_ANSWER,
    'grpc.enable_http_proxy': 0,
    'grpc.enable_retries': 0,
    'grpc.initial_reconnect_backoff_ms': 200,
    'grpc.max_reconnect_backoff_ms': 2_000,
    // grpc-js would send an address as the server's name, which node:tls refuses (RFC 6066, section 3): another
    // name is sent, and the certificate is held against the address all the same.
    ...(isIP(name) === 0 ? {} : { 'grpc.ssl_target_name_override': 'localhost' }),
  })
}

/** A file that an option names; null, as grpc-js takes it, where the option is not given. */
function readOption(option: string, file: string | undefined): Buffer | null {
  if (file === undefined) return null
  try {
    return readFileSync(file)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    const reason = code === 'ENOENT' ? 'there is no such file' : code
    throw new BridgeError('USAGE_INVALID', `${option} ${file}: cannot be read: ${reason}`)
  }
}

function isAway(error: unknown): boolean {
  const code = (error as Partial<ServiceError>).code
  return code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED
}

function isTokenFault(error: unknown): boolean {
  const { code } = error as Partial<ServiceError>
  return code === status.UNAUTHENTICATED
}
