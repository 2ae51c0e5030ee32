/** A request as the audit device wrote it, with its result. */
export type AuditRequest = {
  id: string
  time: string
  /** create, read, update, delete, list, ... as Vault names it. */
  operation: string
  path: string
  namespace: string
  /** Who sent it, as the login method names it; empty before a login. */
  displayName: string
  policies: string[]
  /** Audited request headers, in lower case; values as they are unless the header is made HMACed. */
  headers: Record<string, string[]>
  /** Vault's words when it refused or failed. */
  error?: string
}

export type AuditFilter = {
  /** Exactly this path, or what matches. */
  path?: string | RegExp
  operation?: string
  namespace?: string
}

/** Reads the lines of an audit file: one AuditRequest a request, its response joined to it by id. */
export function parseAudit(text: string, filter: AuditFilter = {}): AuditRequest[] {
  const requests = new Map<string, AuditRequest>()
  for (const line of text.split('\n')) {
    // The last line may be half written.
    if (!line.endsWith('}')) continue
    const entry = JSON.parse(line)
    if (entry.type === 'request' && entry.request?.path !== 'sys/audit/test') {
      requests.set(entry.request.id, {
        id: entry.request.id,
        time: entry.time,
        operation: entry.request.operation,
        path: entry.request.path,
        namespace: entry.request.namespace?.path ?? '',
        displayName: entry.auth?.display_name ?? '',
        policies: entry.auth?.policies ?? [],
        headers: entry.request.headers ?? {},
        ...(typeof entry.error === 'string' ? { error: entry.error } : {}),
      })
    } else if (entry.type === 'response' && typeof entry.error === 'string') {
      const request = requests.get(entry.request.id)
      if (request !== undefined) request.error = entry.error
    }
  }
  return [...requests.values()].filter((request) => matches(request, filter))
}

function matches(request: AuditRequest, filter: AuditFilter): boolean {
  if (typeof filter.path === 'string' && request.path !== filter.path) return false
  if (filter.path instanceof RegExp && !filter.path.test(request.path)) return false
  if (filter.operation !== undefined && request.operation !== filter.operation) return false
  if (filter.namespace !== undefined && request.namespace !== filter.namespace) return false
  return true
}
