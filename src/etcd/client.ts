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
import { codeOfFileError, explainFileError } from '../files/system-error.ts'
import {
  Auth,
  KV,
  Maintenance,
  type RangeRequestSchema,
  type RangeResponse,
} from '../gen/etcd/v3/rpc_pb.ts'
import { Secret } from '../secret.ts'
import { socketOf, type EtcdAccess } from './access.ts'
import { explainEtcdFault, isLearnerFault } from './fault.ts'
import { explainUnreachable } from './unreachable.ts'

/** gRPC rejects a larger response before it is in memory: it bounds the memory of a page. */
export const MAX_ANSWER_BYTES = 16 * 1024 * 1024
const CALL_TIMEOUT_MS = 15_000
/** Attempts on each endpoint before etcd counts as unreachable. */
const ROUNDS = 2
const CHANNEL_OPTIONS = {
  'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_retries': 0,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 2_000,
}

/** A read-only etcd client. When an endpoint is unavailable, it uses the next one. */
export class EtcdClient {
  readonly #access: EtcdAccess
  readonly #channels: readonly Client[]
  #current = 0
  #token: Secret<string> | undefined

  /** Does not connect yet. Throws USAGE_INVALID if a file cannot be read. */
  constructor(access: EtcdAccess) {
    this.#access = access
    this.#channels = access.endpoints.map((endpoint) => openChannel(endpoint, access))
  }

  get endpoint(): string {
    return this.#access.endpoints[this.#current] ?? ''
  }

  /**
   * Throws ETCD_UNREACHABLE, ETCD_DENIED, ETCD_COMPACTED or ETCD_FAILED, and OVERLOADED if the response is larger than
   * {@link MAX_ANSWER_BYTES}, which a single value can be.
   */
  range(request: MessageInitShape<typeof RangeRequestSchema>): Promise<RangeResponse> {
    return this.#callLoggedIn(KV.method.range, request)
  }

  /** What etcd reports to be wrong with it: the alarms of all members, and a missing leader. Throws as {@link range} does. */
  async readErrors(): Promise<readonly string[]> {
    return (await this.#callLoggedIn(Maintenance.method.status, {})).errors
  }

  close(): void {
    for (const channel of this.#channels) channel.close()
  }

  async #callLoggedIn<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    if (this.#access.login !== undefined && this.#token === undefined) await this.#logIn()
    try {
      return await this.#callAnywhere(method, request)
    } catch (error) {
      // A token expires when it is unused for five minutes, or when its member restarts (etcd: server/auth/simple_token.go).
      if (!isTokenFault(error) || this.#token === undefined) throw explainEtcdFault(error)
      await this.#logIn()
      return this.#callAnywhere(method, request).catch((again: unknown) => {
        throw explainEtcdFault(again)
      })
    }
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
        const isLearner = isLearnerFault(error)
        if (!isLearner && !isUnavailable(error)) throw error
        if (count >= tries)
          throw isLearner ? error : await explainUnreachable(this.endpoint, this.#access, error)
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
    const options = { deadline: Date.now() + CALL_TIMEOUT_MS }
    return new Promise((resolve, reject) => {
      channel.makeUnaryRequest(path, pass, pass, bytes, metadata, options, (error, answer) => {
        if (error !== null) reject(error)
        else resolve(fromBinary(method.output, answer ?? Buffer.alloc(0)))
      })
    })
  }
}

function openChannel(endpoint: string, access: EtcdAccess): Client {
  const socket = socketOf(endpoint)
  if (socket !== undefined)
    return new Client(`unix:${socket}`, credentials.createInsecure(), CHANNEL_OPTIONS)
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
    ...CHANNEL_OPTIONS,
    // grpc-js sends the host as the server name, and node:tls refuses an address there (RFC 6066, section 3). Another
    // name is sent instead; checkServerIdentity above still checks the certificate against the address.
    ...(isIP(name) === 0 ? {} : { 'grpc.ssl_target_name_override': 'localhost' }),
  })
}

/** Reads the file of an option; null, as grpc-js expects, without the option. */
function readOption(option: string, file: string | undefined): Buffer | null {
  if (file === undefined) return null
  try {
    return readFileSync(file)
  } catch (cause) {
    const message = `${option} ${file}: cannot be read: ${explainFileError(cause)}`
    throw new BridgeError(codeOfFileError(cause, 'USAGE_INVALID'), message, { cause })
  }
}

function isUnavailable(error: unknown): boolean {
  const code = (error as Partial<ServiceError>).code
  return code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED
}

function isTokenFault(error: unknown): boolean {
  const { code } = error as Partial<ServiceError>
  return code === status.UNAUTHENTICATED
}
