import { readFile } from 'node:fs/promises'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { status, type ServiceError } from '@grpc/grpc-js'

import { BridgeError } from '../errors.ts'
import { oneLine } from '../text/one-line.ts'
import { socketOf, type EtcdAccess } from './access.ts'

const PROBE_TIMEOUT_MS = 3_000
/** With TLS 1.3 a server rejects a client certificate only after the client's handshake is complete (RFC 8446, appendix E.1). */
const REJECTION_WAIT_MS = 500
const MAX_SHOWN = 300
const SLOW =
  'does not answer in time; check that it is not overloaded and that no firewall drops the connection'

/**
 * Explains why etcd is unreachable. gRPC does not report the cause as a code, so this opens a separate connection
 * and sends nothing over it.
 */
export async function explainUnreachable(
  endpoint: string,
  access: EtcdAccess,
  thrown: unknown,
): Promise<BridgeError> {
  const { code, details = '' } = thrown as Partial<ServiceError>
  const reason =
    (await probe(endpoint, access)) ??
    (code === status.DEADLINE_EXCEEDED ? SLOW : explainOpen(endpoint, details))
  return new BridgeError('ETCD_UNREACHABLE', `etcd at ${endpoint} ${reason}`, { cause: thrown })
}

/** The connection opens, but gRPC does not work over it. */
function explainOpen(endpoint: string, details: string): string {
  const shown = oneLine(details, MAX_SHOWN)
  return !endpoint.startsWith('http:')
    ? `is unavailable: ${shown}`
    : `closes the connection (${shown}); if it uses TLS, write https:// in --endpoints and pass --cacert, --cert and --key`
}

/** Why no connection opens; undefined if one does. */
async function probe(endpoint: string, access: EtcdAccess): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const socket = await open(endpoint, access)
  socket.setTimeout(PROBE_TIMEOUT_MS, () => resolve(SLOW))
  socket.once('connect', () => {
    if (!endpoint.startsWith('https:')) resolve(undefined)
  })
  socket.once('secureConnect', () => socket.setTimeout(REJECTION_WAIT_MS, () => resolve(undefined)))
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(explain(error)))
  socket.once('close', () => resolve(undefined))
  try {
    return await promise
  } finally {
    socket.destroy()
  }
}

async function open(endpoint: string, access: EtcdAccess): Promise<Socket> {
  const path = socketOf(endpoint)
  if (path !== undefined) return connectTcp({ path })
  const { hostname, protocol, port } = new URL(endpoint)
  const host = hostname.replace(/^\[|\]$/g, '')
  if (protocol === 'http:') return connectTcp({ host, port: Number(port || 80) })
  const read = async (file: string | undefined) => (file === undefined ? undefined : readFile(file))
  const ca = await read(access.caFile)
  const cert = await read(access.certFile)
  const key = await read(access.keyFile)
  return connectTls({
    host,
    port: Number(port || 443),
    ALPNProtocols: ['h2'],
    ca,
    cert,
    key,
  })
}

/** By codes of node:net and node:tls; the alerts are OpenSSL's names for what the server sent. */
function explain(error: NodeJS.ErrnoException): string {
  const code = error.code ?? ''
  if (code === 'ECONNREFUSED')
    return 'refuses the connection; check that etcd is running and that --endpoints is correct'
  if (code === 'ENOENT')
    return 'does not exist; check that it is running and that --endpoints is correct'
  if (code === 'EACCES') return 'cannot be opened by this user; run the command as root'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return 'has a host name that does not resolve; check --endpoints'
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH')
    return 'is unreachable (no route to host); check --endpoints'
  if (/UNABLE_TO_(VERIFY|GET_ISSUER)|SELF_SIGNED/.test(code))
    return 'has a certificate that is not signed by the authority in --cacert; on kubeadm, the authority of etcd is /etc/kubernetes/pki/etcd/ca.crt'
  if (code === 'CERT_HAS_EXPIRED') return 'has an expired certificate'
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return 'has a certificate for other names; use one of them in --endpoints'
  if (/CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE/.test(code))
    return 'requires a client certificate; pass --cert and --key'
  if (/ALERT/.test(code))
    return 'rejects the client certificate; the authority that etcd trusts must sign --cert (kubeadm: apiserver-etcd-client)'
  // A server without TLS answers the handshake with other bytes, or closes the connection.
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|ECONNRESET/.test(code))
    return 'does not use TLS; write http:// in --endpoints'
  if (/KEY_VALUES_MISMATCH/.test(code)) return 'cannot be asked: --cert and --key do not match'
  return `is unreachable: ${oneLine(error.message, MAX_SHOWN)}`
}
