import * as v from 'valibot'

/** A line of a plugin's log about a call that it answered, written at level debug. */
export interface PluginCall {
  readonly uid: string
  /** Encrypt or Decrypt. */
  readonly method: string
  /** The name of the gRPC status. */
  readonly code: string
}

const Line = v.object({ uid: v.string(), method: v.string(), code: v.string() })

/** Undefined for every other line. */
export function readPluginCall(value: unknown): PluginCall | undefined {
  const parsed = v.safeParse(Line, value)
  return parsed.success ? parsed.output : undefined
}
