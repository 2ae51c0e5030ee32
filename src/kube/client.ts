import { readFile } from 'node:fs/promises'
import type { IncomingMessage, RequestOptions } from 'node:http'
import { Agent, request as openRequest } from 'node:https'
import { isIP } from 'node:net'
import { createInterface } from 'node:readline'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'

import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { codeOfFileError, explainFileError } from '../files/system-error.ts'
import type { KubeAccess } from './access.ts'
import { explainAnswer, explainNoAnswer } from './fault.ts'
import { impersonationHeaders } from './impersonation.ts'

export interface KubeRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** Absolute; names in it are percent-encoded. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>> | undefined
  readonly body?: object | undefined
  /** Default: JSON; for a PATCH a JSON merge patch (RFC 7396). */
  readonly contentType?: string | undefined
  /** Default: JSON. */
  readonly accept?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Over a new connection, for which a load balancer chooses an API server again. */
  readonly isFresh?: boolean | undefined
}

export interface KubeAnswer {
  readonly status: number
  /** Parsed if it is JSON, text otherwise. */
  readonly body: unknown
}

export interface LineAnswer {
  readonly lines: AsyncIterable<string>
  /** The server's clock in milliseconds since 1970, from the Date header; undefined without one. */
  readonly time: number | undefined
}

/** Without a byte for this long, a request has failed: a page, or a write that waits for etcd and a KMS plugin, takes seconds. */
const ANSWER_TIMEOUT_MS = 30_000
const MAX_CONNECTIONS = 16
/** How long a token from a file is used before the file is read again. */
const TOKEN_AGE_MS = 30_000
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

/**
 * A client of one API server. It sends requests and returns responses; callers decide what they mean. It uses node:https
 * because the bundle includes only the part of undici that the Vault client needs, and all of it is parsed at every start.
 */
export class KubeClient {
  readonly #access: KubeAccess
  readonly #clock: Clock
  readonly #base: string
  readonly #agent: Agent
  readonly #freshAgent: Agent
  #token: { readonly value: Secret<string>; readonly readAt: number } | undefined

  constructor(access: KubeAccess, clock: Clock) {
    this.#access = access
    this.#clock = clock
    const { pathname } = new URL(access.server)
    this.#base = pathname === '/' ? '' : pathname
    this.#agent = new Agent({ keepAlive: true, maxSockets: MAX_CONNECTIONS, ...tlsOptions(access) })
    this.#freshAgent = new Agent({ keepAlive: false, maxCachedSessions: 0, ...tlsOptions(access) })
  }

  get server(): string {
    return this.#access.server
  }

  get access(): KubeAccess {
    return this.#access
  }

  /** Returns every response, errors too. Throws KUBE_UNREACHABLE if there is none, CANCELLED if the signal is aborted. */
  async send(request: KubeRequest): Promise<KubeAnswer> {
    const answer = await this.#request(request)
    try {
      const text = await this.#read(answer)
      const isJson = String(answer.headers['content-type']).includes('json')
      return {
        status: answer.statusCode ?? 0,
        body: isJson ? (JSON.parse(text) as unknown) : text,
      }
    } catch (error) {
      throw explainNoAnswer(this.server, error)
    }
  }

  /** Returns the body of a successful response; throws KUBE_* for any other. */
  async read(request: KubeRequest): Promise<unknown> {
    const { status, body } = await this.send(request)
    if (status < 400) return body
    throw explainAnswer(this.server, describe(request), status, body)
  }

  async get(path: string, query?: Readonly<Record<string, string>>): Promise<unknown> {
    return this.read({ method: 'GET', path, query })
  }

  /** Reads a text of any length line by line, over a new connection. */
  async lines(path: string): Promise<LineAnswer> {
    const request = { method: 'GET', path, accept: 'text/plain', isFresh: true } as const
    const answer = await this.#request(request)
    const { statusCode = 0, headers } = answer
    if (statusCode >= 400) {
      throw explainAnswer(this.server, describe(request), statusCode, await this.#read(answer))
    }
    const date = Date.parse(String(headers.date))
    return {
      lines: createInterface({ input: answer, crlfDelay: Infinity }),
      time: Number.isNaN(date) ? undefined : date,
    }
  }

  close(): void {
    this.#agent.destroy()
    this.#freshAgent.destroy()
  }

  async #request(request: KubeRequest): Promise<IncomingMessage> {
    const { path, query, signal, isFresh = false } = request
    const url = new URL(this.server)
    url.pathname = this.#base + path
    url.search = new URLSearchParams(query).toString()
    try {
      return await exchange(url, request, {
        agent: isFresh ? this.#freshAgent : this.#agent,
        headers: {
          ...headersOf(request),
          ...impersonationHeaders(this.#access.impersonation),
          ...(await this.#authorization()),
        },
        timeout: ANSWER_TIMEOUT_MS,
        signal,
      })
    } catch (error) {
      if (signal?.aborted === true) throw new BridgeError('CANCELLED', 'stopped')
      throw explainNoAnswer(this.server, error)
    }
  }

  /** The text of a response. The token that a server or a gateway repeats in an error becomes "[secret]". */
  async #read(answer: IncomingMessage): Promise<string> {
    const text = await readBounded(answer)
    const token = this.#token?.value.reveal() ?? ''
    return token === '' || (answer.statusCode ?? 0) < 400
      ? text
      : text.replaceAll(token, '[secret]')
  }

  async #authorization(): Promise<{ readonly authorization?: string }> {
    const { token, tokenFile } = this.#access
    const now = this.#clock.monotonic()
    if (tokenFile === undefined) {
      this.#token = token && { value: token, readAt: now }
    } else if (this.#token === undefined || now - this.#token.readAt > TOKEN_AGE_MS) {
      this.#token = { value: new Secret(await readToken(tokenFile)), readAt: now }
    }
    return this.#token === undefined
      ? {}
      : { authorization: `Bearer ${this.#token.value.reveal()}` }
  }
}

function exchange(url: URL, { method, body }: KubeRequest, options: RequestOptions) {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const call = openRequest(url, { method, ...options }, resolve)
  call.once('error', reject)
  call.once('timeout', () =>
    call.destroy(Object.assign(new Error('no response in time'), { code: 'ETIMEDOUT' })),
  )
  // With a string, Node.js would send the headers as UTF-8 too, and not byte by byte.
  call.end(body === undefined ? undefined : Buffer.from(JSON.stringify(body)))
  return promise
}

function headersOf({ method, body, accept, contentType }: KubeRequest): Record<string, string> {
  const usual = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
  return {
    accept: accept ?? 'application/json',
    'user-agent': 'transit-bridge',
    ...(body === undefined ? {} : { 'content-type': contentType ?? usual }),
  }
}

function describe({ method, path }: KubeRequest): string {
  return `${method} ${path}`
}

function tlsOptions({ ca, certificate, serverNames, tlsServerName }: KubeAccess) {
  return {
    ca,
    // An IP address cannot be sent as SNI (RFC 6066, section 3).
    ...(tlsServerName === undefined
      ? {}
      : { servername: isIP(tlsServerName) === 0 ? tlsServerName : '' }),
    cert: certificate?.cert,
    key: certificate?.key.reveal(),
    ...(serverNames.length === 0
      ? {}
      : {
          checkServerIdentity: (_host: string, peer: PeerCertificate) =>
            checkNames(serverNames, peer),
        }),
  }
}

/** Node has already verified the certificate chain; the certificate must also be valid for one of the names. */
function checkNames(names: readonly string[], peer: PeerCertificate): Error | undefined {
  const faults = names.map((name) => checkServerIdentity(name, peer))
  return faults.includes(undefined) ? undefined : faults[0]
}

async function readBounded(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > MAX_ANSWER_BYTES)
      throw new BridgeError(
        'KUBE_FAILED',
        `the API server's response is larger than ${String(MAX_ANSWER_BYTES)} bytes`,
      )
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function readToken(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    const message = `the token file ${file} cannot be read: ${explainFileError(error)}`
    throw new BridgeError(codeOfFileError(error, 'KUBE_DENIED'), message, { cause: error })
  }
}
