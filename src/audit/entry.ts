import * as v from 'valibot'

import { readOperation, type Operation } from './operation.ts'

/** A line of Vault's audit file about a Transit key. */
export interface AuditEntry extends Operation {
  readonly type: 'request' | 'response'
  /** Joins request and response. */
  readonly id: string
  /** As Vault wrote it. */
  readonly time: string
  /** The uids of the calls that it was made for; several for a batch. */
  readonly uids: readonly string[]
  /** The number of values in the request. */
  readonly values: number
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
    mount_point: v.optional(v.string()),
    namespace: v.nullish(v.object({ path: v.optional(v.string(), '') })),
    remote_address: v.optional(v.string(), ''),
    headers: v.nullish(v.record(v.string(), v.array(v.string()))),
    data: v.nullish(v.record(v.string(), v.unknown())),
  }),
})

/** Reads a line of an audit file. `other`: it is not about a key. Undefined: it is not an audit entry. */
export function readAuditEntry(value: unknown): AuditEntry | 'other' | undefined {
  const parsed = v.safeParse(Line, value, { abortEarly: true })
  if (!parsed.success) return undefined
  const { type, time, error, auth, request } = parsed.output
  const { path, operation, mount_type: mountType, mount_point: mountPoint } = request
  // Vault before 2022 does not write the type of the mount.
  if (mountType !== undefined && mountType !== 'transit') return 'other'
  const found = readOperation({ path, operation, mountPoint })
  if (found === undefined) return 'other'
  const header = request.headers?.['x-transit-bridge-uid'] ?? []
  const batch = request.data?.['batch_input']
  return {
    type,
    id: request.id,
    time,
    ...found,
    mount: `${request.namespace?.path ?? ''}${found.mount}`,
    uids: header.flatMap((text) => text.split(',')).filter((uid) => uid !== ''),
    values: Array.isArray(batch) ? batch.length : 1,
    address: request.remote_address,
    identity: auth?.display_name ?? '',
    error: error === '' ? undefined : error,
  }
}

/** Whether an entry concerns the key of this name. For an unknown path it may be any part. */
export function concernsKey({ key, isUnknown }: Operation, name: string): boolean {
  return key === name || (isUnknown && key.split('/').includes(name))
}
