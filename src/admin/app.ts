import express, { type Express, type NextFunction, type Request, type Response } from 'express'

import type { MetricsRenderer } from '../telemetry/metrics/text.ts'
import type { DrillAnswer, DrillCall, DrillSwitch } from './drill-switch.ts'
import { readMetricsRequest } from './metrics-request.ts'

/** Whether the program can do its work, or why not, for people and for scripts. */
export interface Readiness {
  readonly ready: boolean
  /** "ok", "starting" or an error code. */
  readonly reason: string
  /** The reason in words. */
  readonly message: string
  /** More facts; none is secret. */
  readonly details: Readonly<Record<string, string | number | boolean | undefined>>
}

/** What the admin server reports; it is asked at each request, so it must be cheap. */
export interface AdminSources {
  /** Whether new clients reach the program at its socket; nothing else may make this false. */
  readonly isServing: () => boolean
  readonly readiness: () => Readiness
  readonly renderMetrics: MetricsRenderer
  /** Only where drills are allowed (admin.drill). */
  readonly drill?: Pick<DrillSwitch, 'begin' | 'end'>
}

const NOT_SERVED = 'the socket is not served'

/** /livez, /readyz and /metrics. */
export function createAdminApp(sources: AdminSources): Express {
  const app = express()
  app.disable('x-powered-by')
  app.set('etag', false)
  app.get('/livez', (_request, response) => {
    const serving = sources.isServing()
    sendText(response, serving ? 200 : 503, serving ? 'ok' : NOT_SERVED)
  })
  app.get('/readyz', (request, response) => {
    sendReadiness(request, response, readinessOf(sources))
  })
  app.get('/metrics', (request, response, next) => {
    sendMetrics(request, response, sources.renderMetrics).catch(next)
  })
  if (sources.drill !== undefined) addDrill(app, sources.drill)
  app.use((_request, response) => {
    sendText(response, 404, 'not found; use /livez, /readyz or /metrics')
  })
  // Express recognizes an error handler by its four parameters. Its own handler prints stacks to clients and to stderr.
  app.use((_error: unknown, _request: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) next(_error)
    else sendText(response, 500, 'internal error')
  })
  return app
}

async function sendMetrics(
  request: Request,
  response: Response,
  render: MetricsRenderer,
): Promise<void> {
  const wanted = readMetricsRequest(request.headers)
  const { contentType, body } = await render(wanted)
  response.type(contentType).vary('Accept, Accept-Encoding')
  if (wanted.gzip) response.set('content-encoding', 'gzip')
  response.send(body)
}

/** A program that new clients cannot reach is not ready, even if everything else works. */
function readinessOf({ isServing, readiness }: AdminSources): Readiness {
  const state = readiness()
  if (isServing() || !state.ready) return state
  return { ...state, ready: false, reason: 'SOCKET_FAILED', message: NOT_SERVED }
}

/** POST starts an outage of `seconds`, DELETE ends it. */
function addDrill(app: Express, drill: NonNullable<AdminSources['drill']>): void {
  const send = (response: Response) => (answer: DrillAnswer) =>
    sendText(response, answer.status, answer.text)
  app.post('/drill/outage', (request, response, next) => {
    drill.begin(callOf(request), Number(request.query['seconds'])).then(send(response)).catch(next)
  })
  app.delete('/drill/outage', (request, response, next) => {
    drill.end(callOf(request)).then(send(response)).catch(next)
  })
}

function callOf(request: Request): DrillCall {
  return {
    authorization: request.headers.authorization,
    remoteAddress: request.socket.remoteAddress,
  }
}

/** JSON on request (Accept, or ?format=json), otherwise one line of text. */
function sendReadiness(request: Request, response: Response, readiness: Readiness): void {
  const status = readiness.ready ? 200 : 503
  const wantsJson =
    request.query['format'] === 'json' || request.accepts(['text', 'json']) === 'json'
  if (wantsJson) response.status(status).json(readiness)
  else sendText(response, status, readiness.message)
}

function sendText(response: Response, status: number, text: string): void {
  response.status(status).type('text/plain').send(`${text}\n`)
}
