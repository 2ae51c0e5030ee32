import * as v from 'valibot'

import { BridgeError } from '../errors.ts'

const TIMEOUT_MS = 5_000
const MAX_ANSWER_BYTES = 64 * 1024

export interface AdminRequest {
  readonly method?: 'GET' | 'POST' | 'DELETE' | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly signal?: AbortSignal | undefined
}

export interface AdminAnswer {
  readonly status: number
  readonly text: string
}

const ReadinessReport = v.object({
  ready: v.boolean(),
  reason: v.string(),
  message: v.string(),
  details: v.object({
    keyId: v.optional(v.string()),
    keyVersion: v.optional(v.number()),
    vaultTokenExpiresAt: v.optional(v.string()),
    offlineSecondsLeft: v.optional(v.number()),
    sealedFileFault: v.optional(v.string()),
  }),
})
export type ReadinessReport = v.InferOutput<typeof ReadinessReport>

/** Sends a request to the admin server of a plugin at `address` (a URL); throws PLUGIN_UNREACHABLE, also when aborted. */
export async function askAdmin(
  address: string,
  path: string,
  { method = 'GET', headers = {}, signal: stop }: AdminRequest = {},
): Promise<AdminAnswer> {
  try {
    const limit = AbortSignal.timeout(TIMEOUT_MS)
    const signal = stop === undefined ? limit : AbortSignal.any([limit, stop])
    const options = { method, headers: { ...headers }, redirect: 'error', signal } as const
    const answer = await fetch(`${address}${path}`, options)
    return { status: answer.status, text: await readBody(answer) }
  } catch (cause) {
    throw unreachable(address, reasonOf(cause), cause)
  }
}

/** Reads what a plugin reports at /readyz; throws PLUGIN_UNREACHABLE, also when something else answers there. */
export async function readReadiness(
  address: string,
  signal?: AbortSignal,
): Promise<ReadinessReport> {
  const { text } = await askAdmin(address, '/readyz?format=json', { signal })
  try {
    return v.parse(ReadinessReport, JSON.parse(text))
  } catch (cause) {
    const reason =
      'does not return the readiness of a plugin; check that this is the address in admin.listen'
    throw unreachable(address, reason, cause)
  }
}

async function readBody(answer: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of answer.body ?? []) {
    bytes += part.length
    if (bytes > MAX_ANSWER_BYTES) throw new TypeError('the answer is too large')
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

function unreachable(address: string, reason: string, cause: unknown): BridgeError {
  return new BridgeError('PLUGIN_UNREACHABLE', `the plugin at ${address} ${reason}`, { cause })
}

/** fetch throws its own error, whose cause is the network error (WHATWG Fetch; undici). */
function reasonOf(thrown: unknown): string {
  if (thrown instanceof DOMException && thrown.name === 'TimeoutError')
    return 'does not answer in time'
  const cause = thrown instanceof TypeError ? thrown.cause : undefined
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (code === 'ECONNREFUSED')
    return 'refuses the connection; check that the plugin is running and that this is the address in admin.listen'
  return code === '' ? 'does not answer with HTTP' : `cannot be reached (${code})`
}
