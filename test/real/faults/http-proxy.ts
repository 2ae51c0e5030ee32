import { once } from 'node:events'
import { Agent, createServer, request as ask } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'

export type HttpAnswer = {
  status: number
  headers?: Record<string, string>
  /** A string is sent as it is, anything else as JSON. */
  body?: unknown
}

export type Rule = {
  /** How many requests it is for. Default: all until `clear()`. */
  times?: number
  /** Which requests it is for; `path` has no query. Default: all. */
  match?: (method: string, path: string) => boolean
}

/** A request that came through. Secrets are not kept: of the token, only whether there was one. */
export type SeenRequest = {
  method: string
  path: string
  hasToken: boolean
  /** Without `x-vault-token` and `authorization`. */
  headers: IncomingHttpHeaders
  /** Who answered: the real server, or a rule of the test. */
  by: 'server' | 'test'
}

/** What the real server answered, as far as a {@link AnswerChange} needs it. */
export type RealAnswer = { status: number; headers: IncomingHttpHeaders; body: Buffer }

/** Sends something in place of the real server's answer, or only a part of it. */
export type AnswerChange = (real: RealAnswer, response: ServerResponse) => void

/** Changes the JSON body of a request. */
export type BodyChange = (body: Record<string, unknown>) => Record<string, unknown>

type Effect =
  | { kind: 'respond'; answer: HttpAnswer }
  | { kind: 'repeat'; status: number }
  | { kind: 'hold' }
  | { kind: 'delay'; ms: number }
  | { kind: 'change'; change: BodyChange }
  | { kind: 'alter'; alter: AnswerChange }
  | { kind: 'redirect'; address: string }

type Active = { effect: Effect; left: number; match: (method: string, path: string) => boolean }

const remembered = 1000

/**
 * An HTTP proxy in front of a real server that speaks plain HTTP. It answers chosen requests itself, as a
 * load balancer or a rate limit would, passes all others, and knows what was asked.
 */
export class HttpProxy {
  readonly address: string
  readonly port: number
  readonly #target: URL
  readonly #server: Server
  readonly #agent = new Agent({ keepAlive: true })
  #rules: Active[] = []
  #seen: SeenRequest[] = []
  readonly #counts = new Map<string, number>()
  #connections = 0
  #dropped: string | undefined

  /** Starts one; `target` is the real server's address, as `http://127.0.0.1:8200`. */
  static async start(target: string): Promise<HttpProxy> {
    const server = createServer({ keepAliveTimeout: 60_000 })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new HttpProxy(new URL(target), server)
  }

  private constructor(target: URL, server: Server) {
    this.#target = target
    this.#server = server
    this.port = (server.address() as AddressInfo).port
    this.address = `http://127.0.0.1:${this.port}`
    server.on('connection', () => {
      this.#connections += 1
    })
    server.on('request', (request, response) => this.#take(request, response))
  }

  /** How many connections were accepted so far. */
  get accepted(): number {
    return this.#connections
  }

  /** Answers requests with this, without asking the server. Of several rules the first one counts. */
  respond(answer: HttpAnswer, rule: Rule = {}): void {
    this.#add({ kind: 'respond', answer }, rule)
  }

  /** Answers with an error of Vault's form that repeats the body of the request, as a careless server does. */
  repeat(status: number, rule: Rule = {}): void {
    this.#add({ kind: 'repeat', status }, rule)
  }

  /** Never answers these requests; they do not reach the server. */
  hold(rule: Rule = {}): void {
    this.#add({ kind: 'hold' }, rule)
  }

  /** Passes these requests on after this delay. */
  delay(ms: number, rule: Rule = {}): void {
    this.#add({ kind: 'delay', ms }, rule)
  }

  /** Passes these requests on with a changed body, as a proxy that rewrites requests does. */
  change(change: BodyChange, rule: Rule = {}): void {
    this.#add({ kind: 'change', change }, rule)
  }

  /** Passes these requests on and has the answers sent by this function, as a proxy that damages answers does. */
  alter(alter: AnswerChange, rule: Rule = {}): void {
    this.#add({ kind: 'alter', alter }, rule)
  }

  /** Redirects these requests to their path at another address, with the method kept. */
  redirect(address: string, rule: Rule = {}): void {
    this.#add({ kind: 'redirect', address }, rule)
  }

  /** Removes a header of every request from now on. */
  drop(header: string): void {
    this.#dropped = header.toLowerCase()
  }

  /** Removes all rules: everything is passed. */
  clear(): void {
    this.#rules = []
  }

  /** How many requests came with this method and path (without a query), or in all. */
  count(method?: string, path?: string): number {
    let sum = 0
    for (const [key, count] of this.#counts) {
      const [ofMethod, ofPath] = key.split(' ')
      if ((method ?? ofMethod) === ofMethod && (path ?? ofPath) === ofPath) sum += count
    }
    return sum
  }

  /** The last requests (1000 at most), oldest first. */
  seen(match: Rule['match'] = () => true): SeenRequest[] {
    return this.#seen.filter(({ method, path }) => match(method, path))
  }

  /** Forgets what was seen and counted. */
  forget(): void {
    this.#seen = []
    this.#counts.clear()
    this.#connections = 0
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    this.#agent.destroy()
    await closed
  }

  #add(effect: Effect, { times = Infinity, match = () => true }: Rule): void {
    this.#rules.push({ effect, left: times, match })
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const method = request.method ?? ''
    const path = (request.url ?? '').split('?', 1)[0] ?? ''
    const rule = this.#rules.find((each) => each.left > 0 && each.match(method, path))
    if (rule !== undefined) rule.left -= 1
    const effect = rule?.effect
    const passes =
      effect === undefined || !['respond', 'repeat', 'hold', 'redirect'].includes(effect.kind)
    this.#note(request, method, path, passes)
    if (effect === undefined) this.#pass(request, response)
    else if (effect.kind === 'change') void this.#passChanged(request, response, effect.change)
    else if (effect.kind === 'alter')
      this.#pass(request, response, { answer: (real) => alterAnswer(real, response, effect.alter) })
    else if (effect.kind === 'repeat') void repeatBody(request, response, effect.status)
    else if (effect.kind === 'delay') {
      setTimeout(() => {
        if (!response.destroyed) this.#pass(request, response)
      }, effect.ms)
    } else {
      // Read to the end, so that the connection can be used again or its end be seen.
      request.resume()
      const answer = ownAnswer(effect, request)
      if (answer !== undefined) request.once('end', () => send(response, answer))
    }
  }

  #note(request: IncomingMessage, method: string, path: string, passed: boolean): void {
    const { 'x-vault-token': token, authorization, ...headers } = request.headers
    const hasToken = token !== undefined || authorization !== undefined
    this.#seen.push({ method, path, hasToken, headers, by: passed ? 'server' : 'test' })
    if (this.#seen.length > remembered) this.#seen.shift()
    const key = `${method} ${path}`
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }

  async #passChanged(
    request: IncomingMessage,
    response: ServerResponse,
    change: BodyChange,
  ): Promise<void> {
    const body = JSON.parse(await text(request)) as Record<string, unknown>
    this.#pass(request, response, { body: Buffer.from(JSON.stringify(change(body))) })
  }

  #keptHeaders({ rawHeaders }: IncomingMessage): string[] {
    // Names and values alternate.
    const isDropped = (index: number) =>
      rawHeaders[index - (index % 2)]?.toLowerCase() === this.#dropped
    return rawHeaders.filter((_text, index) => !isDropped(index))
  }

  /** By default the request's own body is sent, and the answer is passed as it is. */
  #pass(
    request: IncomingMessage,
    response: ServerResponse,
    {
      body,
      answer = (real: IncomingMessage) => passAnswer(real, response),
    }: { body?: Buffer; answer?: (real: IncomingMessage) => void } = {},
  ): void {
    const headers =
      body === undefined
        ? this.#keptHeaders(request)
        : { ...request.headers, 'content-length': String(body.length) }
    const upstream = ask(
      {
        host: this.#target.hostname,
        port: this.#target.port,
        method: request.method,
        path: request.url,
        headers,
        agent: this.#agent,
      },
      answer,
    )
    // The server is down: the client sees a broken connection, as it would without the proxy.
    upstream.on('error', () => response.destroy())
    response.once('close', () => {
      if (!response.writableFinished) upstream.destroy()
    })
    if (body === undefined) pipeline(request, upstream, () => undefined)
    else upstream.end(body)
  }
}

/** The answer of a rule that asks no server; undefined if there is none. */
function ownAnswer(effect: Effect, { url = '' }: IncomingMessage): HttpAnswer | undefined {
  if (effect.kind === 'respond') return effect.answer
  if (effect.kind !== 'redirect') return undefined
  return { status: 307, headers: { location: `${effect.address}${url}` } }
}

function passAnswer(real: IncomingMessage, response: ServerResponse): void {
  response.writeHead(real.statusCode ?? 502, real.statusMessage, real.rawHeaders)
  pipeline(real, response, () => undefined)
}

function alterAnswer(real: IncomingMessage, response: ServerResponse, alter: AnswerChange): void {
  buffer(real).then(
    (body) => alter({ status: real.statusCode ?? 502, headers: real.headers, body }, response),
    () => response.destroy(),
  )
}

function send(response: ServerResponse, { status, headers = {}, body }: HttpAnswer): void {
  const content = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body)
  const type = typeof body === 'string' ? 'text/plain' : 'application/json'
  response.writeHead(status, { 'content-type': type, ...headers })
  response.end(content)
}

async function repeatBody(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
): Promise<void> {
  const sent = Object.values(JSON.parse(await text(request)) as Record<string, unknown>)
  const words = sent.filter((value) => typeof value === 'string').join(' ')
  send(response, { status, body: { errors: [`1 error occurred:\n\t* cannot take ${words}\n\n`] } })
}
