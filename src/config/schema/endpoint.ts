import { isIP } from 'node:net'
import * as v from 'valibot'

import type { ListenAddress } from '../config.ts'

const SCHEME = /^https?:\/\//
const ENDPOINT = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+|\*):(\d{1,5})$/
/** Traffic to loopback stays on the host. Resolvers answer `localhost` locally (RFC 6761, section 6.3). */
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

const DESCRIPTION =
  'Address of Vault or OpenBao, such as https://vault.example.com:8200: scheme, host and port, without a path. ' +
  'If it is a list, the first one that works is used until it fails.'

/** The address of one server. Messages never repeat it: people paste addresses with passwords in them. */
const serverAddress = v.pipe(
  v.string(),
  v.regex(SCHEME, 'must start with https://'),
  v.check(
    (text) => URL.canParse(text),
    'is not a URL; use the form https://vault.example.com:8200',
  ),
  v.check((text) => !hasCredentials(text), 'contains a user or a password; remove them'),
  v.check((text) => !hasPath(text), 'has a path after the port; remove it (including /v1)'),
)

/** One address or a list of them, as origins. */
export const addresses = v.pipe(
  v.union([
    serverAddress,
    v.pipe(
      v.array(serverAddress),
      v.minLength(1, 'is an empty list; list at least one address'),
      v.check((list) => new Set(list).size === list.length, 'contains an address twice'),
    ),
  ]),
  v.description(DESCRIPTION),
  v.metadata({ kind: 'address, or a list of them' }),
  v.transform((given) => [given].flat().map((text) => new URL(text).origin)),
)

/** Whether data sent to this origin could be read in transit. */
export function isPlaintext(origin: string): boolean {
  const url = new URL(origin)
  return url.protocol === 'http:' && !LOOPBACK.test(url.hostname)
}

function hasCredentials(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && (url.username !== '' || url.password !== '')
}

function hasPath(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && (url.pathname !== '/' || /[?#]/.test(text))
}

/** `host:port`, `[address]:port`, `*:port` for all addresses, or the word `none`. */
export const listenAddress = v.pipe(
  v.string('must be a host and a port; write 127.0.0.1:9390, for example, or none'),
  v.check(
    (text) => !/^:\d+$/.test(text),
    'has no host; write 127.0.0.1 before the port, or * to listen on all addresses',
  ),
  v.regex(
    /^(none|.+:\d{1,5})$/,
    'must be a host and a port, not {value}; write 127.0.0.1:9390, for example, or none',
  ),
  v.check(
    isEndpoint,
    'must be a host and a port, not {value}; write 127.0.0.1:9390 or [::1]:9390, for example',
  ),
  v.description(
    'Host and port of the HTTP listener for /livez, /readyz and /metrics; none opens no listener. ' +
      'The host * means all addresses, of IPv6 and IPv4. ' +
      'Port 0 chooses a free one.',
  ),
  v.metadata({ kind: 'host:port, or none' }),
  v.transform(parseEndpoint),
)

function isEndpoint(text: string): boolean {
  if (text === 'none') return true
  const endpoint = parseEndpoint(text)
  if (endpoint === undefined || endpoint.port > 65_535) return false
  if (text.startsWith('[')) return isIP(endpoint.host) === 6
  // Only digits and dots are meant as an address: 127.0.0 and 10.0.0.256 are not names.
  return !/^[\d.]+$/.test(endpoint.host) || isIP(endpoint.host) === 4
}

/** Reads `host:port` or `[address]:port`; undefined if the text has another form. */
export function parseEndpoint(text: string): ListenAddress | undefined {
  const [, host, port] = ENDPOINT.exec(text) ?? []
  if (host === undefined || port === undefined) return undefined
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
}
