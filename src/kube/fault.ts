import { BridgeError, type ErrorCode } from '../errors.ts'
import { oneLine } from '../text/one-line.ts'

/** The body of an error response (k8s.io/apimachinery: pkg/apis/meta/v1, Status). */
export interface KubeStatus {
  readonly message?: string
  readonly reason?: string
  readonly metadata?: { readonly continue?: string }
}

const MAX_SHOWN = 400

/** Converts an error response to a BridgeError; `what` is the request: "GET /api". */
export function explainAnswer(
  server: string,
  what: string,
  status: number,
  body: unknown,
): BridgeError {
  const text = statusOf(body).message ?? (typeof body === 'string' ? body : '')
  const words = oneLine(text, MAX_SHOWN)
  if (status === 401) {
    return new BridgeError(
      'KUBE_DENIED',
      `the API server ${server} rejects the credentials of the kubeconfig (401); the token or client certificate has expired or belongs to another cluster`,
    )
  }
  if (status === 403)
    return new BridgeError('KUBE_DENIED', `the API server denies ${what}: ${words}`)
  return new BridgeError(
    codeOf(status),
    `the API server ${server} returns ${String(status)} for ${what}${words === '' ? '' : `: ${words}`}`,
  )
}

export function statusOf(body: unknown): KubeStatus {
  if (typeof body === 'string' && body.startsWith('{')) return statusOf(parse(body))
  return typeof body === 'object' && body !== null ? body : {}
}

/** An error response is JSON even if the request accepts text only. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function codeOf(status: number): ErrorCode {
  if (status === 404) return 'KUBE_NOT_FOUND'
  if (status === 409) return 'KUBE_CONFLICT'
  // Including 500: an API server returns it while its KMS plugin is unavailable.
  if (status === 429 || status >= 500) return 'KUBE_BUSY'
  return 'KUBE_FAILED'
}

/** Whether the same request may succeed later. */
export function isTransient(error: BridgeError): boolean {
  return error.code === 'KUBE_BUSY' || error.code === 'KUBE_UNREACHABLE'
}

const NOT_CONNECTED = new Set<unknown>(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'])

/** Whether an API server may have carried out a request that failed: not if there was no connection to send it over. */
export function mayHaveArrived(error: BridgeError): boolean {
  const { cause } = error
  const isUnsent = cause instanceof Error && 'code' in cause && NOT_CONNECTED.has(cause.code)
  return isTransient(error) && !isUnsent
}

/** Explains a missing response by the error codes of node:net, node:tls and OpenSSL. */
export function explainNoAnswer(server: string, thrown: unknown): BridgeError {
  if (thrown instanceof BridgeError) return thrown
  const error = thrown as NodeJS.ErrnoException
  const reason = explainNetwork(error.code ?? '')
  if (reason === undefined) return BridgeError.from(thrown)
  return new BridgeError('KUBE_UNREACHABLE', `the API server ${server} ${reason}`, {
    cause: thrown,
  })
}

function explainNetwork(code: string): string | undefined {
  if (code === 'ECONNREFUSED')
    return 'refuses the connection; check that it is running and that the address is correct'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'has a host name that does not resolve'
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return 'is unreachable (no route to host)'
  if (code === 'ETIMEDOUT' || code === 'ABORT_ERR') return 'does not answer in time'
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'closed the connection before it responded'
  return explainTls(code) ?? (code === '' ? undefined : `is unreachable (${code})`)
}

function explainTls(code: string): string | undefined {
  if (/UNABLE_TO_(VERIFY|GET_ISSUER)|SELF_SIGNED|CERT_SIGNATURE_FAILURE/.test(code))
    return 'has a certificate that is not signed by the authority in the kubeconfig (certificate-authority-data); check that it is the same cluster'
  if (code === 'CERT_HAS_EXPIRED') return 'has an expired certificate'
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return 'has a certificate for other names; use one of them, or set tls-server-name in the kubeconfig'
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG/.test(code)) return 'does not use TLS'
  if (/ALERT/.test(code)) return 'rejects the client certificate of the kubeconfig'
  if (/PEM|ASN1|KEY_VALUES_MISMATCH|X509/.test(code))
    return 'cannot be asked: the certificate and key of the kubeconfig are damaged or do not match'
  return undefined
}
