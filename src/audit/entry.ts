import * as v from 'valibot'

/** What a request to Transit does with a key. */
export type KeyAction =
  | 'encrypt'
  | 'decrypt'
  | 'rewrap'
  | 'datakey'
  | 'export'
  | 'backup'
  | 'restore'
  | 'rotate'
  | 'config'
  | 'trim'
  | 'read'
  | 'delete'
  | 'list'
  | 'create'

/** A line of Vault's audit file about a Transit key. */
export interface AuditEntry {
  readonly type: 'request' | 'response'
  /** Joins request and response. */
  readonly id: string
  /** As Vault wrote it. */
  readonly time: string
  readonly mount: string
  readonly key: string
  readonly action: KeyAction
  /** The uids of the KMS requests that it was made for; several for a batch. */
  readonly uids: readonly string[]
  readonly address: string
  /** The caller, as the login method names it. */
  readonly identity: string
  /** Vault's message if it refused or failed. */
  readonly error?: string | undefined
}

const Line = v.object({
  type: v.picklist(['request', 'response']),
  time: v.optional(v.string(), ''),
  error: v.optional(v.string()),
  auth: v.nullish(
    v.object({ display_name: v.optional(v.string(), ''), entity_id: v.optional(v.string(), '') }),
  ),
  request: v.object({
    id: v.string(),
    operation: v.optional(v.string(), ''),
    path: v.string(),
    mount_type: v.optional(v.string()),
    remote_address: v.optional(v.string(), ''),
    headers: v.nullish(v.record(v.string(), v.array(v.string()))),
  }),
})

const USE =
  /^(.+)\/(encrypt|decrypt|rewrap|datakey|export|backup|restore)\/(?:(?:plaintext|wrapped|encryption-key|signing-key|hmac-key|public-key)\/)?([^/]+)(?:\/\d+|\/latest)?$/
const KEY = /^(.+)\/keys\/([^/]+)(?:\/(rotate|config|trim))?$/
const OPERATIONS: Readonly<Record<string, KeyAction | undefined>> = {
  read: 'read',
  delete: 'delete',
  list: 'list',
  create: 'create',
  update: 'create',
}

/** Undefined for a line about anything else, and for a line that is not from an audit file. */
export function readAuditEntry(value: unknown): AuditEntry | undefined {
  const parsed = v.safeParse(Line, value)
  if (!parsed.success) return undefined
  const { type, time, error, auth, request } = parsed.output
  // Vault before 2022 does not write the type of the mount.
  if (request.mount_type !== undefined && request.mount_type !== 'transit') return undefined
  const place = readPath(request.path, request.operation)
  if (place === undefined) return undefined
  const header = request.headers?.['x-transit-bridge-uid'] ?? []
  return {
    type,
    id: request.id,
    time,
    ...place,
    uids: header.flatMap((value_) => value_.split(',')).filter((uid) => uid !== ''),
    address: request.remote_address,
    identity: auth?.display_name ?? '',
    error: error === '' ? undefined : error,
  }
}

function readPath(path: string, operation: string) {
  const [, mount, action, key] = USE.exec(path) ?? []
  if (mount !== undefined && key !== undefined) return { mount, key, action: action as KeyAction }
  const [, keyMount, name, verb] = KEY.exec(path) ?? []
  if (keyMount === undefined || name === undefined) return undefined
  const done = verb === undefined ? OPERATIONS[operation] : (verb as KeyAction)
  return done === undefined ? undefined : { mount: keyMount, key: name, action: done }
}
