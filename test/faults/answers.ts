// Damaged answers: each of these sends what a real OpenBao answered in a way that a network or a proxy may damage it.
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerResponse } from 'node:http'
import type { AnswerChange, RealAnswer } from '../real/faults/http-proxy.ts'

const DRIP_MS = 200
/** More than the program reads of a response (src/vault/client/exchange.ts, MAX_ANSWER_BYTES). */
const HUGE_BYTES = 5 * 1024 * 1024

type Json = Record<string, unknown>

/** Half of the body, then a TCP reset. */
export const breakOff: AnswerChange = (real, response) => {
  sendHalf(real, response, () => response.socket?.resetAndDestroy())
}

/** Half of the body, then nothing. */
export const stall: AnswerChange = (real, response) => sendHalf(real, response)

export const drip: AnswerChange = (real, response) => {
  response.writeHead(real.status, headersOf(real))
  void sendBytes(real.body, response)
}

/** Half of the body as if it were all. */
export const truncate: AnswerChange = (real, response) => {
  const body = half(real)
  response.writeHead(real.status, headersOf(real, body)).end(body)
}

export const mislabel: AnswerChange = (real, response) => {
  response.writeHead(real.status, { ...headersOf(real), 'content-type': 'text/html' })
  response.end(real.body)
}

export const inflate: AnswerChange = (real, response) => {
  sendJson(real, response, (body) => ({ ...body, padding: 'x'.repeat(HUGE_BYTES) }))
}

/** The last result of each batch is missing. */
export const shorten: AnswerChange = (real, response) => {
  changeResults(real, response, (results) => results.slice(0, -1))
}

/** The first item of each batch fails in Vault. */
export const failFirst: AnswerChange = (real, response) => {
  changeResults(real, response, ([, ...rest]) => [{ error: 'internal error' }, ...rest], 500)
}

function changeResults(
  real: RealAnswer,
  response: ServerResponse,
  change: (results: unknown[]) => unknown[],
  status = real.status,
): void {
  sendJson(real, response, (body) => {
    const data = body['data'] as { batch_results?: unknown[] } | undefined
    const results = data?.batch_results
    if (results === undefined) return body
    response.statusCode = status
    return { ...body, data: { ...data, batch_results: change(results) } }
  })
}

/** A response without a body, as that of a revocation, is sent as it is. */
function sendJson(real: RealAnswer, response: ServerResponse, change: (body: Json) => Json): void {
  if (real.body.length === 0) {
    response.writeHead(real.status, headersOf(real)).end()
    return
  }
  response.statusCode = real.status
  const body = Buffer.from(JSON.stringify(change(JSON.parse(real.body.toString()) as Json)))
  response.writeHead(response.statusCode, headersOf(real, body)).end(body)
}

function sendHalf(real: RealAnswer, response: ServerResponse, after?: () => void): void {
  response.writeHead(real.status, headersOf(real))
  response.write(half(real), after)
}

async function sendBytes(body: Buffer, response: ServerResponse): Promise<void> {
  for (let at = 0; at < body.length && !response.destroyed; at += 1) {
    response.write(body.subarray(at, at + 1))
    await sleep(DRIP_MS)
  }
  response.end()
}

function half({ body }: RealAnswer): Buffer {
  return body.subarray(0, Math.floor(body.length / 2))
}

function headersOf({ headers, body }: RealAnswer, sent = body) {
  const { 'transfer-encoding': _chunked, ...rest } = headers
  return { ...rest, 'content-length': String(sent.length) }
}
