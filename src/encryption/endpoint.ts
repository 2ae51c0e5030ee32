import { isIPv6 } from 'node:net'

// eslint-disable-next-line no-control-regex -- control characters are what it rejects
const CONTROL = /[\x00-\x1F\x7F]/

/**
 * The path that kube-apiserver dials: the path of the endpoint URL, which is only `/kms.sock` for `unix://run/kms.sock`
 * (k8s.io/kms: pkg/util, ParseEndpoint). Undefined if it rejects the endpoint, by the rules of Go's net/url.
 */
export function readSocketPath(endpoint: string): string | undefined {
  if (CONTROL.test(endpoint)) return undefined
  const [, beforeFragment = '', fragment] = /^([^#]*)(?:#([^]*))?$/.exec(endpoint) ?? []
  if (fragment !== undefined && decode(fragment) === undefined) return undefined
  const [, rest] = /^unix:([^?]*)/i.exec(beforeFragment) ?? []
  if (rest === undefined) return undefined
  if (!rest.startsWith('/')) return ''
  const [, authority, path = ''] = /^(?:\/\/([^/]*))?([^]*)$/.exec(rest) ?? []
  return authority === undefined || isAuthority(authority) ? decode(path) : undefined
}

const USER = /^(?:[\w\-.:~!$&'()*+,;=@]|%[0-9A-Fa-f]{2})*$/
const HOST = /^(?:[\w!"$&'()*+,\-.:;<=>[\]~]|[^\0-\x7F]|%[89A-Fa-f][0-9A-Fa-f]|%25)*$/

function isAuthority(authority: string): boolean {
  const at = authority.lastIndexOf('@')
  return (at < 0 || USER.test(authority.slice(0, at))) && isHost(authority.slice(at + 1))
}

function isHost(host: string): boolean {
  const [, address, port] = /^\[([^]*)\]([^\]]*)$/.exec(host) ?? []
  if (address !== undefined) return isIPv6(address.replace(/%25.+/, '')) && isPort(port ?? '')
  if (host.includes('[')) return false
  const colon = host.lastIndexOf(':')
  return HOST.test(host) && (colon < 0 || isPort(host.slice(colon)))
}

function isPort(text: string): boolean {
  return /^(?::\d*)?$/.test(text)
}

/** Undefined if a % does not start an escape. */
function decode(text: string): string | undefined {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return undefined
  const bytes = Buffer.from(text, 'utf8').toString('latin1')
  const plain = bytes.replaceAll(/%(..)/g, (_escape, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return Buffer.from(plain, 'latin1').toString('utf8')
}
