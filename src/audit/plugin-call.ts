import * as v from 'valibot'

/** A line of a plugin's log about a call that it answered, or about its own check of the key. Written at level debug. */
export interface PluginCall {
  readonly uid: string
  readonly method: 'Encrypt' | 'Decrypt' | 'Check'
  /** Namespace, mount and name of the Transit key, with slashes. Empty in the log of an old version. */
  readonly key: string
  /** When the line was written. */
  readonly time: string
  /** 0, or the number of a request that was sent after the call ended and has a separate line. */
  readonly late: number
  /** How many requests to Vault carry the uid. */
  readonly requests: number
  /** Whether Vault answered one of them, so that its audit file has an entry. */
  readonly isAnswered: boolean
}

const Count = v.pipe(v.number(), v.integer(), v.minValue(0))
const Line = v.object({
  uid: v.string(),
  method: v.picklist(['Encrypt', 'Decrypt', 'Check']),
  code: v.string(),
  time: v.optional(v.string(), ''),
  key: v.optional(v.string(), ''),
  vault_requests: v.optional(Count),
  late_request: v.optional(Count, 0),
})

/** Undefined for every other line. */
export function readPluginCall(value: unknown): PluginCall | undefined {
  const parsed = v.safeParse(Line, value, { abortEarly: true })
  if (!parsed.success) return undefined
  const { uid, method, code, key, time, vault_requests: sent, late_request: late } = parsed.output
  const isAnswered = code === 'OK' && sent !== undefined && sent > 0 && late === 0
  return { uid, method, key, time, late, requests: sent ?? 1, isAnswered }
}
