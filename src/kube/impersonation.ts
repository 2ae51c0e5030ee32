import type { Impersonation } from './access.ts'

/** The headers that client-go sends (client-go: transport/round_trippers.go, NewImpersonatingRoundTripper). */
export function impersonationHeaders(
  impersonation: Impersonation | undefined,
): Readonly<Record<string, readonly string[]>> {
  if (impersonation === undefined) return {}
  const { user, uid, groups, extra } = impersonation
  const headers = [
    ['Impersonate-User', [user]] as const,
    ['Impersonate-Uid', uid === undefined ? [] : [uid]] as const,
    ['Impersonate-Group', groups] as const,
    ...Object.entries(extra).map(
      ([key, values]) => [`Impersonate-Extra-${escapeKey(key)}`, values] as const,
    ),
  ]
  return Object.fromEntries(
    headers
      .filter(([, values]) => values.length > 0)
      .map(([name, values]) => [name, values.map(encodeValue)]),
  )
}

/** Bytes that a header name cannot contain, and the percent sign, are percent-encoded. */
function escapeKey(key: string): string {
  const bytes = Buffer.from(key, 'utf8').toString('latin1')
  return bytes.replaceAll(/[^\w!#$&'*+\-.^`|~]/g, (byte) => {
    const hex = byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')
    return `%${hex}`
  })
}

/** UTF-8 as Go sends it; Node.js writes each character of a header as one byte. */
function encodeValue(value: string): string {
  return Buffer.from(value, 'utf8').toString('latin1')
}
