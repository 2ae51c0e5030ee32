/** An HTTP request from a pod, with its complete body. */
export interface PodRequest {
  readonly method: string
  /** The request target, as in the request line. */
  readonly target: string
  /** The namespace that the client sent (X-Vault-Namespace); undefined if none. */
  readonly namespace: string | undefined
  /** Whether the client asks Vault to wrap the response (X-Vault-Wrap-TTL). */
  readonly wantsWrapping: boolean
  /** The caller zeroes it. */
  readonly body: Buffer
  readonly signal: AbortSignal
  /** Called with the number of bytes of Vault's response so far. Throws OVERLOADED if they are too many. */
  readonly onBytes: (bytes: number) => void
}

/** An HTTP response to a pod. */
export interface PodResponse {
  readonly status: number
  /** Whether Vault or the client chose the status. It can then have any value, and says nothing about Vault or this program. */
  readonly isStatusOpen?: boolean
  /** JSON. The server zeroes it after it is sent. */
  readonly body: Buffer
  readonly retryAfterSeconds?: number | undefined
}

/** A response with JSON. */
export function respond(status: number, content: object): PodResponse {
  return { status, body: Buffer.from(`${JSON.stringify(content)}\n`) }
}

/** An error response in Vault's format. */
export function respondErrors(
  status: number,
  errors: readonly string[],
  retryAfterSeconds?: number,
): PodResponse {
  return { ...respond(status, { errors }), retryAfterSeconds }
}
