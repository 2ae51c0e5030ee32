/** The longest head of a request, as for other methods (volume-server.ts). */
const MAX_HEAD_BYTES = 16 * 1024
const REQUEST_LINE = /^LIST ([\x21-\x7e]+) HTTP\/1\.1$/
/** The value begins with a visible character, so that many spaces can be matched in one way only. */
const HEADER = /^([\w-]+):[ \t]*(|[\x21-\x7e][\x20-\x7e]*)$/

/** The head of a request with Vault's own method LIST. */
export interface ListRequest {
  readonly target: string
  /** By name in lower case; if a name is repeated, its last value. */
  readonly headers: ReadonlyMap<string, string>
}

/**
 * Reads a LIST request from the packet that Node.js's parser (llhttp) could not parse, because it does not know this method. Vault's
 * Go client sends GET with `list=true` instead; others, such as hvac, send LIST. Returns undefined unless the packet is
 * exactly one request without a body.
 */
export function readListRequest(packet: Buffer): ListRequest | undefined {
  if (packet.length > MAX_HEAD_BYTES) return undefined
  const text = packet.toString('latin1')
  if (!text.startsWith('LIST ') || !text.endsWith('\r\n\r\n')) return undefined
  const [first = '', ...lines] = text.slice(0, -4).split('\r\n')
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
