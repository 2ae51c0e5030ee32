/**
 * How long a response asks the client to wait, in milliseconds; undefined if it does not. `Retry-After` holds seconds or a
 * date (RFC 9110 §10.2.3). `X-RateLimit-Reset` holds seconds left; Vault and OpenBao send both only with
 * `enable_rate_limit_response_headers` (openbao vault/quotas/quotas_rate_limit.go).
 */
export function readWait(
  retryAfter: string | undefined,
  rateLimitReset: string | undefined,
  now: number,
): number | undefined {
  return readSeconds(retryAfter) ?? readDate(retryAfter, now) ?? readSeconds(rateLimitReset)
}

function readSeconds(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text.trim()) ? Number(text) * 1000 : undefined
}

function readDate(text: string | undefined, now: number): number | undefined {
  if (text === undefined || !/[a-z]/i.test(text)) return undefined
  const time = Date.parse(text)
  return Number.isNaN(time) ? undefined : Math.max(0, time - now)
}
