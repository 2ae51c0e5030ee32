import { readFile } from 'node:fs/promises'
import { connect } from 'node:tls'
import { status, type ServiceError } from '@grpc/grpc-js'

import { BridgeError } from '../errors.ts'
import type { EtcdAccess } from './client.ts'

const PROBE_TIMEOUT = 3_000
/** A server says that it does not like a client certificate only after the handshake of TLS 1.3. */
const AFTER_HANDSHAKE = 500

/** What etcd's own words mean (etcd: api/v3rpc/rpctypes/error.go). */
const MEANINGS: readonly (readonly [RegExp, (words: string) => BridgeError])[] = [
  [
    /permission denied/,
    () =>
      new BridgeError(
        'ETCD_DENIED',
        'etcd denies this user the keys; grant it a role that may read the prefix, or use the certificate of the API server (apiserver-etcd-client)',
      ),
  ],
  [
    /authentication failed/,
    () =>
      new BridgeError(
        'ETCD_DENIED',
        'etcd does not know this user and password; check --user and --password-file',
      ),
  ],
  [
    /user name is empty|user name not found/,
    () =>
      new BridgeError(
        'ETCD_DENIED',
        'etcd wants to know a user; give --user and --password-file, or a client certificate whose common name is one',
      ),
  ],
  [
    /authentication is not enabled/,
    () =>
      new BridgeError('ETCD_DENIED', 'etcd knows no users; leave out --user and --password-file'),
  ],
]

/** An error of the client as one of ours. */
export function explainEtcdFault(thrown: unknown): BridgeError {
  if (thrown instanceof BridgeError) return thrown
  const { code, details = '' } = thrown as Partial<ServiceError>
  if (code === undefined) return BridgeError.from(thrown)
  const meaning = MEANINGS.find(([pattern]) => pattern.test(details))?.[1]
  if (meaning !== undefined) return meaning(details)
  if (code === status.RESOURCE_EXHAUSTED && /larger than max/.test(details)) {
    return new BridgeError('OVERLOADED', 'an answer of etcd is larger than this program takes in')
  }
  if (code === status.UNIMPLEMENTED) {
    return new BridgeError('ETCD_FAILED', 'what answers is not etcd 3; check --endpoints')
  }
  return new BridgeError('ETCD_FAILED', `etcd answers: ${clean(details)}`, { cause: thrown })
}

/** Whether etcd no longer has the moment that was asked for. */
export function isCompacted(error: BridgeError): boolean {
  return error.code === 'ETCD_FAILED' && error.message.includes('has been compacted')
}

/**
 * Why no connection comes about. gRPC keeps the reason for itself where TLS is concerned, so one connection
 * is made beside it, over which nothing is sent.
 */
export async function explainUnreachable(
  endpoint: string,
  access: EtcdAccess,
  thrown: unknown,
): Promise<BridgeError> {
  const reason = endpoint.startsWith('https:')
    ? await probeTls(new URL(endpoint), access)
    : undefined
  const details = clean((thrown as Partial<ServiceError>).details ?? '')
  const words = reason ?? explainRefusal(details)
  return new BridgeError('ETCD_UNREACHABLE', `etcd at ${endpoint}: ${words}`, { cause: thrown })
}

function explainRefusal(details: string): string {
  if (/ECONNREFUSED/.test(details))
    return 'nothing listens there (connection refused); is etcd running, and is --endpoints right'
  if (/ENOTFOUND|EAI_AGAIN|Name resolution failed/.test(details))
    return 'the name is not known; check --endpoints'
  if (/DEADLINE_EXCEEDED|Deadline exceeded/i.test(details))
    return 'does not answer in time; is it overloaded, or behind a firewall'
  if (
    /Protocol error|ECONNRESET|socket hang up|Connection dropped|Failed to connect/i.test(details)
  )
    return 'ends the connection; if it speaks TLS, write https:// in --endpoints and give --cacert, --cert and --key'
  return `cannot be reached: ${details}`
}

async function probeTls(endpoint: URL, access: EtcdAccess): Promise<string | undefined> {
  const read = async (file: string | undefined) => (file === undefined ? undefined : readFile(file))
  const [ca, cert, key] = await Promise.all([
    read(access.caFile),
    read(access.certFile),
    read(access.keyFile),
  ])
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const socket = connect({
    host: endpoint.hostname.replace(/^\[|\]$/g, ''),
    port: Number(endpoint.port || 443),
    ALPNProtocols: ['h2'],
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  })
  socket.setTimeout(PROBE_TIMEOUT, () =>
    resolve('does not answer in time; is it overloaded, or behind a firewall'),
  )
  socket.once('secureConnect', () => socket.setTimeout(AFTER_HANDSHAKE, () => resolve(undefined)))
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(explainTls(error)))
  socket.once('close', () => resolve(undefined))
  try {
    return await promise
  } finally {
    socket.destroy()
  }
}

/** Codes of node:tls; the alerts are OpenSSL's words for what the server said. */
function explainTls(error: NodeJS.ErrnoException): string {
  const code = error.code ?? ''
  if (code === 'ECONNREFUSED') return explainRefusal(code)
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return explainRefusal(code)
  if (/UNABLE_TO_(VERIFY|GET_ISSUER)|SELF_SIGNED/.test(code))
    return 'its certificate is not of the authority in --cacert; kubeadm has that of etcd in /etc/kubernetes/pki/etcd/ca.crt'
  if (code === 'CERT_HAS_EXPIRED') return 'its certificate has expired'
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return 'its certificate is for other names; use one of them in --endpoints'
  if (/CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE/i.test(code))
    return 'wants a client certificate; give --cert and --key'
  if (/ALERT/i.test(code))
    return 'does not accept the client certificate; --cert must be of the authority that etcd trusts (kubeadm: apiserver-etcd-client)'
  // What is no TLS answers the greeting with other bytes, or by hanging up.
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|ECONNRESET/.test(code))
    return 'does not speak TLS; write http:// in --endpoints'
  if (/KEY_VALUES_MISMATCH/.test(code)) return '--cert and --key do not belong together'
  return `TLS fails: ${clean(error.message)}`
}

function clean(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 300).trim()
}
