import * as v from 'valibot'

import { readOperation, type Operation } from './operation.ts'

/** The number of values of an entry that does not show it. */
export const VALUES_HIDDEN = Number.MAX_SAFE_INTEGER

/** A line of Vault's audit file about a Transit key. */
export interface AuditEntry extends Operation {
  readonly type: 'request' | 'response'
  /** Joins request and response. */
  readonly id: string
  /** As Vault wrote it. */
  readonly time: string
  /** The uids of the calls that it was made for; several for a batch. */
  readonly uids: readonly string[]
  /** The number of values in the request, or {@link VALUES_HIDDEN}. */
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

/** Where the storage of Vault can be read, with the key material, if raw_storage_endpoint is on. */
const RAW_STORAGE = 'sys/raw/'

/**
 * Reads a line of an audit file: a use of a key, an entry about anything else, the removal of an audit device, or an
 * entry with missing or wrong fields. Undefined if it is not an audit entry.
 */
export function readAuditEntry(
  value: unknown,
): AuditEntry | 'other' | 'device-removed' | 'device-filtered' | 'invalid' | undefined {
  const parsed = v.safeParse(Line, value, { abortEarly: true })
  if (!parsed.success) return isLikeEntry(value) ? 'invalid' : undefined
  if (removesDevice(parsed.output)) return 'device-removed'
  if (filtersDevice(parsed.output)) return 'device-filtered'
  const found = findOperation(parsed.output.request)
  return found === undefined ? 'other' : makeEntry(parsed.output, found)
}

type ParsedLine = v.InferOutput<typeof Line>

function findOperation(request: ParsedLine['request']): Operation | undefined {
  const { path, operation, mount_type: mountType, mount_point: mountPoint } = request
  if (path.startsWith(RAW_STORAGE))
    return { mount: 'sys/raw', key: '', action: `${operation} ${path}`, isUnknown: true }
  // Vault before 2022 does not write the type of the mount.
  if (mountType !== undefined && mountType !== 'transit') return undefined
  const namespace = request.namespace?.path ?? ''
  const found = readOperation({ path, operation, mountPoint: inNamespace(mountPoint, namespace) })
  // Without the type, a path of one word may be that of any engine.
  return mountType === undefined && found?.key === '' ? undefined : found
}

/** In a namespace, the mount point starts with the namespace, and the path does not. */
function inNamespace(mountPoint: string | undefined, namespace: string): string | undefined {
  return mountPoint?.startsWith(namespace) === true
    ? mountPoint.slice(namespace.length)
    : mountPoint
}

function makeEntry({ type, time, error, auth, request }: ParsedLine, found: Operation): AuditEntry {
  const header = request.headers?.['x-transit-bridge-uid'] ?? []
  return {
    type,
    id: request.id,
    time,
    ...found,
    mount: `${request.namespace?.path ?? ''}${found.mount}`,
    uids: header.flatMap((text) => text.split(',')).filter((uid) => uid !== ''),
    values: countValues(request.data),
    address: request.remote_address,
    identity: auth?.display_name ?? '',
    error: error === '' ? undefined : error,
  }
}

/** After the response to such a request, no file shows what Vault does until another device is enabled. */
function removesDevice({ type, error, request }: ParsedLine): boolean {
  const isRefused = error !== undefined && error !== ''
  const { path, operation } = request
  return type === 'request' && operation === 'delete' && path.startsWith('sys/audit/') && !isRefused
}

/** A device that omits entries, or fields of them (Vault Enterprise: "Filter syntax for audit results", "Exclusion"). */
function filtersDevice({ type, error, request }: ParsedLine): boolean {
  const isRefused = error !== undefined && error !== ''
  const isEnabling = /^sys\/audit\/./.test(request.path) && /create|update/.test(request.operation)
  const options = request.data?.['options']
  const names = typeof options === 'object' && options !== null ? Object.keys(options) : []
  const isFiltered = names.some((name) => name === 'filter' || name === 'exclude')
  return type === 'request' && isEnabling && isFiltered && !isRefused
}

function isLikeEntry(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'request' in value
}

/** An entry from which someone removed the request's data may have had any number of values. */
function countValues(data: Readonly<Record<string, unknown>> | null | undefined): number {
  if (data === null || data === undefined) return VALUES_HIDDEN
  const batch = data['batch_input']
  if (batch === undefined || batch === null) return 1
  return Array.isArray(batch) ? batch.length : VALUES_HIDDEN
}

/** Whether an entry concerns the key of this name. For an unknown path it may be any part, or only in the body. */
export function concernsKey({ key, isUnknown }: Operation, name: string): boolean {
  return key === name || (isUnknown && (key === '' || key.split('/').includes(name)))
}
