import { STATUS_CODES, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

import type { PodResponse } from '../pod-request.ts'

/** Sends a response of a request that Node.js parsed. */
export function send(response: ServerResponse, answer: PodResponse, closes = false): void {
  response.writeHead(answer.status, headersOf(answer, closes))
  response.end(answer.body)
}

/** Sends a response on a connection whose request Node.js cannot parse or does not handle, and closes the connection. */
export function sendAndClose(connection: Duplex, answer: PodResponse): void {
  if (!connection.writable) {
    connection.destroy()
    return
  }
  const { status, body } = answer
  const lines = Object.entries(headersOf(answer, true)).map(([name, value]) => `${name}: ${value}`)
  const head = [`HTTP/1.1 ${String(status)} ${STATUS_CODES[status] ?? ''}`, ...lines]
  connection.write(`${head.join('\r\n')}\r\n\r\n`)
  connection.end(body, () => connection.destroy())
}

function headersOf({ body, retryAfterSeconds }: PodResponse, closes: boolean) {
  const headers: Record<string, string> = {
    'Content-Type': 'application/json',
    'Content-Length': String(body.length),
    'Cache-Control': 'no-store',
  }
  if (retryAfterSeconds !== undefined) headers['Retry-After'] = String(retryAfterSeconds)
  if (closes) headers['Connection'] = 'close'
  return headers
}
