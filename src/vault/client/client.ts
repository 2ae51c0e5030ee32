import type { CallContext } from '../../call-context.ts'
import type { Clock } from '../../time/clock.ts'
import { BridgeError } from '../../errors.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { VaultMetrics } from '../../telemetry/metrics/roles.ts'
import { AddressBook } from './addresses/address-book.ts'
import { readAnswer, type RawAnswer } from './answer.ts'
import { AttemptFailure, type Attempt, type Outcome } from './attempt.ts'
import { Clusters } from './addresses/clusters.ts'
import { Endpoint } from './node-vault-request.ts'
import {
  MAX_REDIRECTS,
  isRedirect,
  failDoubtful,
  failLoop,
  resolveRedirect,
} from './addresses/redirect.ts'
import { Recognition, type AddressCheck, type Sender } from './addresses/recognition.ts'
import { RequestReport } from './request-report.ts'
import {
  buildHeaders,
  type VaultRequest,
  type VaultRequester,
  type VaultResponse,
} from './request.ts'
import { RetryPlan } from './retry.ts'
import type { TlsFiles } from '../tls/tls-files.ts'
import { readAgain, readFirst } from './tls-faults.ts'
import { TlsMaterial, type TlsMetrics } from '../tls/tls-material.ts'
import { Silence } from './silence.ts'
import { MetSilence, Slowness, isRepeatable, mayLeave } from './slowness.ts'
import { Transport } from './transport.ts'
import { wait } from '../../time/wait.ts'

export interface VaultClientOptions extends TlsFiles {
  /** Addresses of Vault: http or https URLs, at least one. The one that works stays in use. */
  readonly addresses: readonly string[]
  /** Sent as X-Vault-Namespace unless a request names its own. Default: none. */
  readonly namespace?: string | undefined
  /** The longest time for one attempt, from connecting to the end of the response; more than 0. */
  readonly timeoutMs: number
  /** The name that Vault's certificate must contain, also sent as SNI. Default: the host of the address. */
  readonly serverName?: string | undefined
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Pick<VaultMetrics, 'vaultRequestDuration' | 'vaultUp'> & TlsMetrics
  /** Returns numbers from 0 up to, but not including, 1, for jitter. Default: Math.random. */
  readonly random?: () => number
  /**
   * Recognizes an address that was not proven as the same Vault, before it replaces one that was. Without this check,
   * an address is proven by its first successful response to a request with a token.
   */
  readonly recognize?: AddressCheck | undefined
}

export interface VaultClient extends VaultRequester {
  /**
   * The address that answered the requests of this context has proven itself (a full proof passed, or the key was read
   * again). From then on, a refusal by an address that was not proven does not count against it. Nothing is proven if
   * several addresses answered, because each may have shown only a part.
   */
  prove(context: CallContext): void
  /**
   * Proves the other addresses, too, as far as they show the same key, with the token of the requests of this context. So an
   * outage of one does not begin with questions to the others. Never throws.
   */
  proveOthers(proven: CallContext, context: CallContext): Promise<void>
  /** Lets current requests finish, then closes all connections. Later requests fail with CANCELLED. */
  close(): Promise<void>
  /** Reads the TLS files again now; if they changed, the next request opens new connections. Never throws. */
  refreshTls(): Promise<void>
}

/**
 * Sends requests to Vault. An invalid address throws CONFIG_INVALID here; any other problem (missing files, a Vault
 * that is down) fails each request until it is fixed.
 */
export function createVaultClient(options: VaultClientOptions): VaultClient {
  return new Client(options)
}

/** The addresses that answered the requests of a context, as the one in use may have changed since, and their token. */
interface Answers {
  readonly indexes: Set<number>
  readonly token: VaultRequest['token']
}

class Client implements VaultClient {
  readonly #options: VaultClientOptions
  readonly #book: AddressBook
  readonly #tls: TlsMaterial | undefined
  readonly #endpoints: readonly Endpoint[]
  readonly #report: RequestReport
  readonly #namespace: string
  readonly #random: () => number
  readonly #send: Sender
  readonly #recognition: Recognition | undefined
  readonly #clusters: Clusters
  readonly #silence = new Silence()
  readonly #slowness: Slowness
  readonly #answers = new WeakMap<CallContext, Answers>()

  constructor(options: VaultClientOptions) {
    const { clock, log, timeoutMs, serverName } = options
    this.#options = options
    this.#book = new AddressBook(options.addresses)
    const { addresses } = this.#book
    const tls = addresses.some(({ secure }) => secure)
      ? new TlsMaterial({ files: options, clock, log, metrics: options.metrics })
      : undefined
    this.#tls = tls
    this.#endpoints = addresses.map((address, index) => {
      const transport = new Transport(address, { timeoutMs, serverName, tls, clock })
      return new Endpoint(transport, (answer) => this.#read(answer, index, 0))
    })
    this.#slowness = new Slowness(this.#book, timeoutMs)
    this.#report = new RequestReport(clock, log, options.metrics)
    this.#namespace = options.namespace ?? ''
    this.#random = options.random ?? Math.random
    const send: Sender = (...given) => this.#try(...given)
    this.#clusters = new Clusters(this.#book, send)
    this.#recognition = options.recognize && new Recognition(this.#book, options.recognize, send)
    this.#send = this.#recognition?.send.bind(this.#recognition) ?? send
  }

  async request(request: VaultRequest, context: CallContext): Promise<VaultResponse> {
    const startedAt = this.#options.clock.monotonic()
    const plan = new RetryPlan(this.#book, this.#random, {
      ...context,
      countsRefusals: request.countsRefusals,
    })
    const silence = new MetSilence(this.#book, plan.patienceFor(request.operation))
    for (;;) {
      const sentAt = this.#options.clock.monotonic()
      const patienceMs = plan.patienceFor(request.operation)
      const outcome = await this.#send(request, context, plan.index, patienceMs)
      if (!(outcome instanceof AttemptFailure)) {
        plan.succeed()
        silence.answered(plan.index, this.#options.clock.monotonic() - sentAt)
        this.#report.answered(request, startedAt)
        return outcome
      }
      silence.failed(outcome)
      const address = this.#endpoint(plan.index).transport.address.text
      const error = await this.#prepareRetry(plan, outcome, request, context)
      if (error === undefined) continue
      this.#report.failed(request, context, {
        address,
        error,
        startedAt,
        isSlow: silence.isBehind(error),
      })
      throw error
    }
  }

  prove(context: CallContext): void {
    const [index, ...others] = this.#answers.get(context)?.indexes ?? []
    if (index !== undefined && others.length === 0) this.#book.prove(index)
  }

  async proveOthers(proven: CallContext, context: CallContext): Promise<void> {
    const token = this.#answers.get(proven)?.token
    if (token === undefined) return
    await this.#recognition?.recognizeOthers(token, context, this.#options.clock.monotonic())
  }

  async close(): Promise<void> {
    await Promise.all(this.#endpoints.map(({ transport }) => transport.close()))
  }

  async refreshTls(): Promise<void> {
    await this.#tls?.refresh()
  }

  async #try(
    request: VaultRequest,
    context: CallContext,
    index: number,
    patienceMs: number,
  ): Promise<Outcome> {
    const { clock, timeoutMs } = this.#options
    const startedAt = clock.monotonic()
    const endpoint = this.#endpoint(index)
    if (this.#tls !== undefined && endpoint.transport.address.secure) {
      const problem = this.#tls.contents === undefined ? await readFirst(this.#tls) : undefined
      if (problem !== undefined) return problem
      this.#tls.checkSoon(startedAt)
    }
    const leaves = mayLeave(request)
    const attempt: Attempt = {
      request,
      context,
      endsAt: Math.min(context.deadline, startedAt + timeoutMs),
      patienceMs: leaves ? patienceMs : undefined,
      uniformPatienceMs:
        request.isUniform === true ? this.#book.patienceFor(request.operation) : undefined,
      silence: leaves ? this.#silence : undefined,
    }
    const tlsVersion = this.#tls?.version
    const outcome = await this.#exchange(endpoint, attempt)
    const tookMs = clock.monotonic() - startedAt
    if (outcome instanceof AttemptFailure) {
      if (outcome.error.code === 'DEADLINE_EXCEEDED') this.#slowness.expired(request, index, tookMs)
      return this.#tls === undefined ? outcome : readAgain(this.#tls, outcome, tlsVersion)
    }
    this.#slowness.answered(request, tookMs)
    if (this.#silence.answered(request.operation, startedAt)) this.#book.prefer(index)
    return outcome
  }

  async #exchange(endpoint: Endpoint, attempt: Attempt): Promise<Outcome> {
    attempt.context.onVaultRequest?.()
    try {
      return await endpoint.send(attempt, this.#headers(attempt))
    } catch (thrown) {
      return new AttemptFailure(BridgeError.from(thrown), 'never')
    }
  }

  /** Waits until the next attempt; returns the error if there is none. */
  async #prepareRetry(
    plan: RetryPlan,
    failure: AttemptFailure,
    request: VaultRequest,
    context: CallContext,
  ): Promise<BridgeError | undefined> {
    const { clock } = this.#options
    const rejectedBy = plan.rejectedBy(failure)
    if (rejectedBy !== undefined && rejectedBy.size < this.#book.addresses.length)
      plan.countApart(await this.#clusters.others(rejectedBy, context))
    const leftMs = context.deadline - clock.monotonic()
    const next = plan.next(failure, leftMs, isRepeatable(request))
    if (next instanceof BridgeError) return next
    context.onRetry?.(plan.reason ?? failure.error)
    if (next > 0) await wait(next, clock, context.signal)
    return undefined
  }

  async #read(
    answer: RawAnswer | AttemptFailure,
    index: number,
    redirects: number,
  ): Promise<Outcome> {
    if (answer instanceof AttemptFailure) return answer
    const outcome = isRedirect(answer)
      ? await this.#follow(answer, index, redirects + 1)
      : this.#judge(answer, index, redirects)
    if (outcome instanceof AttemptFailure && mayDifferByNode(outcome)) answer.connection?.leave()
    if (answer.attempt.request.isBehind?.(answer) === true) this.#leave(answer, index)
    return outcome
  }

  #judge(answer: RawAnswer, index: number, redirects: number): Outcome {
    const { address } = this.#endpoint(index).transport
    const outcome = readAnswer(answer, address.text, this.#options.clock.now())
    if (!(outcome instanceof AttemptFailure)) {
      if (redirects > 0) this.#book.prefer(index)
      if (this.#recognition === undefined && answer.attempt.request.token !== undefined)
        this.#book.prove(index)
      this.#noteAnswer(answer.attempt, index)
    }
    return outcome
  }

  #noteAnswer({ request: { token }, context }: Attempt, index: number): void {
    const known = this.#answers.get(context)
    if (known === undefined) this.#answers.set(context, { indexes: new Set([index]), token })
    else known.indexes.add(index)
  }

  /** The next request starts at another address, or over another connection, which may lead to another node. */
  #leave({ connection }: RawAnswer, index: number): void {
    this.#book.leave(index)
    connection?.leave()
  }

  async #follow(raw: RawAnswer, index: number, redirects: number): Promise<Outcome> {
    const from = this.#endpoint(index).transport.address
    if (redirects > MAX_REDIRECTS) return failLoop(from)
    const target = resolveRedirect(raw, from, this.#book)
    if (target instanceof AttemptFailure) return target
    const isElsewhere = target.index !== index
    if (this.#recognition !== undefined && isElsewhere && this.#book.isDoubtful(target.index)) {
      // The next try asks that address itself, which must then show the same key.
      this.#book.prefer(target.index)
      return failDoubtful(from, this.#endpoint(target.index).transport.address)
    }
    const { attempt } = raw
    attempt.context.onVaultRequest?.()
    const answer = await this.#endpoint(target.index).transport.exchange(attempt, {
      method: attempt.request.method === 'LIST' ? 'GET' : attempt.request.method,
      path: target.path,
      headers: this.#headers(attempt),
      body: attempt.request.body,
    })
    return this.#read(answer, target.index, redirects)
  }

  #headers({ request, context }: Attempt): Record<string, string> {
    return buildHeaders(request, context, this.#namespace)
  }

  #endpoint(index: number): Endpoint {
    const endpoint = this.#endpoints[index]
    if (endpoint === undefined) throw new RangeError(`no address ${String(index)}`)
    return endpoint
  }
}

/** Whether another node behind the same address may answer differently. */
function mayDifferByNode({ retry }: AttemptFailure): boolean {
  return retry === 'soon' || retry === 'elsewhere'
}
