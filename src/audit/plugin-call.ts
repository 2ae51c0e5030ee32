import * as v from 'valibot'

/** A line of a plugin's log about a call that it answered, or about its own check of the key. Written at level debug. */
export interface PluginCall {
  readonly uid: string
  readonly method: 'Encrypt' | 'Decrypt' | 'Check'
  /** Namespace, mount and name of the Transit key, with slashes. Empty in the log of an old version. */
  readonly key: string
  /** When the line was written. */
  readonly time: string
  /** How many requests to Vault may carry the uid. */
  readonly requests: number
}

/**
 * Requests that a plugin may still send after a call ended at its deadline: others wait for the same batch, which
 * is tried again at most twice, and then its values one by one.
 */
const LATE_REQUESTS = 3
const ENDED_EARLY: ReadonlySet<string> = new Set(['DEADLINE_EXCEEDED', 'CANCELLED'])

const Line = v.object({
  uid: v.string(),
  method: v.picklist(['Encrypt', 'Decrypt', 'Check']),
  code: v.string(),
  time: v.optional(v.string(), ''),
  key: v.optional(v.string(), ''),
  vault_requests: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 1),
})

/** Undefined for every other line. */
export function readPluginCall(value: unknown): PluginCall | undefined {
  const parsed = v.safeParse(Line, value, { abortEarly: true })
  if (!parsed.success) return undefined
  const { uid, method, code, key, time, vault_requests: sent } = parsed.output
  return { uid, method, key, time, requests: sent + (ENDED_EARLY.has(code) ? LATE_REQUESTS : 0) }
}
