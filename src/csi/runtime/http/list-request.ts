import type { Duplex } from 'node:stream'

import type { Clock } from '../../../time/clock.ts'

/** The longest head of a request, as for other methods (http/volume-server.ts). */
const MAX_HEAD_BYTES = 16 * 1024
/** As for other methods (headersTimeout in http/volume-server.ts). */
const HEAD_TIMEOUT_MS = 10_000
const METHOD = 'LIST '
const END = '\r\n\r\n'
const REQUEST_LINE = /^LIST ([\x21-\x7e]+) HTTP\/1\.1$/
/** The value begins with a visible character, so that many spaces can be matched in one way only. */
const HEADER = /^([\w-]+):[ \t]*(|[\x21-\x7e][\x20-\x7e]*)$/

/** The head of a request with Vault's own method LIST. */
export interface ListRequest {
  readonly target: string
  /** By name in lower case; if a name is repeated, its last value. */
  readonly headers: ReadonlyMap<string, string>
}

/** What a connection sent that Node.js's parser refused. */
interface Head {
  text: string
  /** The first and the last bytes of the text: a search in the whole text for each packet would take quadratic time. */
  start: string
  tail: string
  isComplete: boolean
}

/**
 * Reads LIST requests from the packets that Node.js's parser (llhttp) refuses, because it does not know this method. Vault's
 * Go client sends GET with `list=true` instead; others, such as hvac, send LIST. The first packet must have three bytes: the parser
 * accepts `L` and `LI`, and then reports only the packet that it refuses.
 */
export class ListRequests {
  readonly #clock: Clock
  readonly #heads = new WeakMap<Duplex, Head>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Adds a packet of a connection. Calls `use` once for each connection: with the request as soon as its head is complete, or
   * with undefined if it is not exactly one LIST request without a body, or if the rest of it does not arrive in time.
   */
  add(
    connection: Duplex,
    packet: Buffer | undefined,
    use: (request: ListRequest | undefined) => void,
  ): void {
    const known = this.#heads.get(connection)
    const head = known ?? { text: '', start: '', tail: '', isComplete: false }
    // What follows a complete request is not read, because the connection closes after the response.
    if (head.isComplete) return
    const isPart = packet !== undefined && append(head, packet.toString('latin1'))
    this.#heads.set(connection, head)
    const end = (request: ListRequest | undefined) => {
      if (head.isComplete) return
      head.isComplete = true
      head.text = ''
      use(request)
    }
    if (!isPart) end(parseListRequest(head.text))
    else if (known === undefined) {
      const cancel = this.#clock.after(HEAD_TIMEOUT_MS, () => end(undefined))
      connection.once('close', cancel)
    }
  }
}

/**
 * Adds a packet to a head. Returns whether more of a LIST request must follow. The head may be shorter than the method: the parser
 * refuses what begins with `LIS`.
 */
function append(head: Head, packet: string): boolean {
  const added = head.tail + packet
  head.text += packet
  head.start = (head.start + packet).slice(0, METHOD.length)
  head.tail = added.slice(1 - END.length)
  if (head.text.length > MAX_HEAD_BYTES || added.includes(END)) return false
  return head.start !== '' && METHOD.startsWith(head.start)
}

function parseListRequest(text: string): ListRequest | undefined {
  if (text.length > MAX_HEAD_BYTES) return undefined
  if (!text.startsWith(METHOD) || !text.endsWith(END)) return undefined
  const [first = '', ...lines] = text.slice(0, -END.length).split('\r\n')
  const target = REQUEST_LINE.exec(first)?.[1]
  if (target === undefined) return undefined
  const headers = new Map<string, string>()
  for (const line of lines) {
    const [, name, value] = HEADER.exec(line) ?? []
    if (name === undefined || value === undefined) return undefined
    headers.set(name.toLowerCase(), value)
  }
  const hasBody = headers.has('transfer-encoding') || (headers.get('content-length') ?? '0') !== '0'
  return hasBody ? undefined : { target, headers }
}
