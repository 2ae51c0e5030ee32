import { BridgeError, type ErrorCode } from '../errors.ts'
import { oneLine } from '../text/one-line.ts'

/** What an API server says with an answer that is an error (k8s.io/apimachinery: metav1.Status). */
export interface KubeStatus {
  readonly message?: string
  readonly reason?: string
  readonly metadata?: { readonly continue?: string }
}

const MAX_SHOWN = 400

/** An error answer as one of ours; `what` was asked. */
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
      `the API server ${server} does not know who asks; the token or the client certificate of the kubeconfig has expired or is of another cluster`,
    )
  }
  if (status === 403)
    return new BridgeError('KUBE_DENIED', `the API server denies ${what}: ${words}`)
  return new BridgeError(
    codeOf(status),
    `the API server ${server} answers ${what} with ${String(status)}${words === '' ? '' : `: ${words}`}`,
  )
}

export function statusOf(body: unknown): KubeStatus {
  if (typeof body === 'string' && body.startsWith('{')) return statusOf(parse(body))
  return typeof body === 'object' && body !== null ? body : {}
}

/** What was asked for as text is answered as JSON, too, where it is refused. */
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
  // Also 500: a KMS plugin that is away makes an API server answer so, and comes back.
  if (status === 429 || status >= 500) return 'KUBE_BUSY'
  return 'KUBE_FAILED'
}

/** Whether the same request may succeed when it is sent again later. */
export function isPassing(error: BridgeError): boolean {
  return error.code === 'KUBE_BUSY' || error.code === 'KUBE_UNREACHABLE'
}

/** No answer came: why, from what undici and TLS call it. */
export function explainNoAnswer(server: string, thrown: unknown): BridgeError {
  if (thrown instanceof BridgeError) return thrown
  const error = thrown as NodeJS.ErrnoException
  const reason = explainNetwork(error.code ?? '', error.message)
  if (reason === undefined) return BridgeError.from(thrown)
  return new BridgeError('KUBE_UNREACHABLE', `the API server ${server} ${reason}`, {
    cause: thrown,
  })
}

function explainNetwork(code: string, message: string): string | undefined {
  if (code === 'ECONNREFUSED') return 'is not there (connection refused)'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'has a name that is not known'
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH')
    return 'has an address that no way leads to'
  if (/TIMEOUT|ETIMEDOUT|ABORT_ERR|TimeoutError/.test(`${code} ${message}`))
    return 'does not answer in time'
  if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'UND_ERR_SOCKET')
    return 'ended the connection before it had answered'
  return explainTls(code) ?? (code === '' ? undefined : `cannot be reached (${code})`)
}

function explainTls(code: string): string | undefined {
  if (/UNABLE_TO_(VERIFY|GET_ISSUER)|SELF_SIGNED|CERT_SIGNATURE_FAILURE/.test(code))
    return 'shows a certificate that is not of the authority in the kubeconfig (certificate-authority-data); is it another cluster'
  if (code === 'CERT_HAS_EXPIRED') return 'shows a certificate that has expired'
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return 'shows a certificate for other names; use one of them, or tls-server-name in the kubeconfig'
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG/.test(code)) return 'does not speak TLS'
  if (/ALERT/.test(code)) return 'does not accept the client certificate of the kubeconfig'
  if (/PEM|ASN1|KEY_VALUES_MISMATCH|X509/.test(code))
    return 'cannot be asked: certificate and key of the kubeconfig are damaged or do not belong together'
  return undefined
}
