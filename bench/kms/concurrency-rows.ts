import { load } from '../latency.ts'
import { milliseconds, type Row } from '../table.ts'
import { openCall, type Subjects } from './subjects.ts'

const HEAVY_CALLERS = 500
const LONE_CALLS = 300
const MAX_WAIT = 1.5
const CLIENTS = 200
const CALLS_OF_A_CLIENT = 5

/** What callers that share the plugin with many others see. */
export async function measureConcurrency(subjects: Subjects): Promise<Row[]> {
  return [...(await measureBesideHeavyCaller(subjects)), await measureStatusBurst(subjects)]
}

/**
 * One caller that always has hundreds of calls open, and another one with single calls on a connection of its own. Calls are
 * served in the order in which they arrive, so the second waits about as long as the first.
 */
async function measureBesideHeavyCaller({ plugin, decryptRequest }: Subjects): Promise<Row[]> {
  const heavy = await openCall(plugin.socket, 'Decrypt', decryptRequest)
  const lone = await openCall(plugin.socket, 'Decrypt', decryptRequest)
  const state = { isDone: false }
  const heavyLoad = load(HEAVY_CALLERS, Number.POSITIVE_INFINITY, heavy, () => state.isDone)
  const result = await load(1, LONE_CALLS, lone)
  state.isDone = true
  const busy = await heavyLoad
  const what = `Decrypt, 1 caller beside one with ${String(HEAVY_CALLERS)} calls at a time`
  return [
    {
      what: `${what}: p50`,
      value: milliseconds(result.p50),
      target: `<= ${String(MAX_WAIT)} x the other`,
      ok: result.p50 <= MAX_WAIT * busy.p50,
    },
    { what: `${what}: p99`, value: milliseconds(result.p99) },
    { what: 'Decrypt of the other caller: p50', value: milliseconds(busy.p50) },
  ]
}

/** Many clients that connect and ask for Status at the same moment. A call that fails ends the run. */
async function measureStatusBurst({ plugin }: Subjects): Promise<Row> {
  const startedAt = performance.now()
  const clients = Array.from({ length: CLIENTS }, async () => {
    const status = await openCall(plugin.socket, 'Status', new Uint8Array())
    await Promise.all(Array.from({ length: CALLS_OF_A_CLIENT }, status))
  })
  await Promise.all(clients)
  const calls = (CLIENTS * CALLS_OF_A_CLIENT).toLocaleString('en')
  return {
    what: `${calls} Statuses at once on ${String(CLIENTS)} new connections: all answered`,
    value: milliseconds(performance.now() - startedAt),
  }
}
