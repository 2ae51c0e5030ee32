// Lines as Vault's audit device and a plugin's log write them.
export const KEY = 'k8s-etcd'

export interface EntryOptions {
  readonly id?: string
  readonly path?: string
  readonly operation?: string
  readonly uid?: string
  readonly error?: string
  readonly address?: string
  readonly values?: number
  readonly namespace?: string
  readonly mountType?: string
  readonly mountPoint?: string | undefined
  readonly time?: string
}

/** One line of an audit file. */
export function auditLine(type: 'request' | 'response', options: EntryOptions = {}): object {
  const { id = '1', path = `transit/decrypt/${KEY}`, operation = 'update', uid, error } = options
  const { address = '10.0.0.1', values = 1, namespace, mountType = 'transit' } = options
  const { time = '2026-01-01T00:00:00Z' } = options
  const value = { ciphertext: 'hmac-sha256:00' }
  return {
    time,
    type,
    error,
    auth: { display_name: 'jwt-plugin' },
    request: {
      id,
      operation,
      mount_point: 'mountPoint' in options ? options.mountPoint : 'transit/',
      mount_type: mountType,
      namespace: namespace === undefined ? { id: 'root' } : { id: 'x', path: namespace },
      path,
      data: values === 1 ? value : { batch_input: Array.from({ length: values }, () => value) },
      remote_address: address,
      headers: uid === undefined ? undefined : { 'x-transit-bridge-uid': [uid] },
    },
  }
}

export interface CallOptions {
  readonly method?: string
  readonly code?: string
  readonly key?: string | undefined
  readonly requests?: number
  readonly time?: string
  readonly late?: number
}

/** One line of a plugin's log. */
export function callLine(uid: string, options: CallOptions = {}): object {
  const { method = 'Decrypt', code = 'OK', requests = 1, time = '2026-01-01T00:00:01Z' } = options
  return {
    level: 'debug',
    time,
    key: 'key' in options ? options.key : `transit/${KEY}`,
    method,
    code,
    uid,
    vault_requests: requests,
    late_request: options.late,
    msg: 'call answered',
  }
}

/** A file of one JSON object per line. */
export function toFile(lines: readonly object[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('')
}
