import { randomUUID } from 'node:crypto'

import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import { wait } from '../time/wait.ts'
import type { KubeClient, KubeRequest } from '../kube/client.ts'
import { explainAnswer, mayHaveArrived } from '../kube/fault.ts'
import {
  PROBES,
  describePlugin,
  showOutage,
  works,
  type OutageSample,
  type PluginState,
} from './outage-record.ts'

/** The Secret that the drill writes and reads. */
const NAME = 'transit-bridge-drill'
const INTERVAL_MS = 1_000
const READY_WITHIN_MS = 30_000
const NOT_NOTICED =
  'the plugin did not notice the outage, so nothing was rehearsed; use a longer --for than kms.refreshInterval'
const NOT_TOLD =
  'the plugin did not report the outage, and some of its reports are missing, so perhaps nothing was rehearsed'

export interface OutageDrillOptions {
  readonly client: KubeClient
  /** Of the Secret. */
  readonly namespace: string
  readonly seconds: number
  /** How long to wait for recovery. */
  readonly patienceMs: number
  /** Throws USAGE_INVALID if the plugin refuses: then it stays connected. */
  readonly begin: () => Promise<void>
  /** Has no effect without an outage. */
  readonly end: () => Promise<void>
  /** What the plugin says about its last check of Vault. */
  readonly pluginState: (signal: AbortSignal) => Promise<PluginState>
  readonly clock: Clock
  readonly onSample: (sample: OutageSample) => void
  /** Called with everything that is not proved. */
  readonly onNote: (note: string) => void
  /** Called when the signal is aborted during the outage. */
  readonly onStop: () => void
}

/**
 * Simulates an outage of Vault and probes the API server every second until everything works again. It always tries to end the
 * outage and to remove the Secret. A fault of that is a note, because it must not replace the samples.
 */
export async function runOutageDrill(
  options: OutageDrillOptions,
  signal: AbortSignal,
): Promise<readonly OutageSample[]> {
  const path = `/api/v1/namespaces/${encodeURIComponent(options.namespace)}/secrets`
  await createSecret(options, path)
  try {
    // Otherwise the drill would measure another fault, and make it worse.
    await requireHealthy(options, `${path}/${NAME}`, signal)
    return await watchOutage(options, `${path}/${NAME}`, signal)
  } finally {
    await removeSecret(options, `${path}/${NAME}`)
  }
}

async function createSecret(options: OutageDrillOptions, path: string): Promise<void> {
  const { client } = options
  try {
    const made = await client.send({ method: 'POST', path, body: { metadata: { name: NAME } } })
    // 409: a run that was killed left the Secret.
    if (made.status >= 400 && made.status !== 409)
      throw explainAnswer(client.server, `POST ${path}`, made.status, made.body)
  } catch (error) {
    // The Secret may exist: its answer was lost on the way, or a gateway answered instead.
    if (mayHaveArrived(BridgeError.from(error))) await removeSecret(options, `${path}/${NAME}`)
    throw error
  }
}

async function watchOutage(
  options: OutageDrillOptions,
  path: string,
  signal: AbortSignal,
): Promise<readonly OutageSample[]> {
  const { begin, clock, onStop } = options
  let samples: readonly OutageSample[] = []
  let isRefused = false
  let isOver = false
  // The plugin counts the seconds from an earlier time.
  let startedAt = clock.monotonic()
  signal.addEventListener('abort', onStop, { once: true })
  try {
    try {
      await begin()
    } catch (error) {
      isRefused = BridgeError.from(error).code === 'USAGE_INVALID'
      throw error
    } finally {
      startedAt = clock.monotonic()
    }
    samples = await watch(options, path, signal)
  } finally {
    signal.removeEventListener('abort', onStop)
    // Also without an answer to the start: the plugin may have received the request.
    if (!isRefused) isOver = await endOutage(options, startedAt)
  }
  if (!signal.aborted) {
    if (!showOutage(samples)) options.onNote(explainUnnoticed(samples))
    return samples
  }
  const message = 'stopped before the end'
  throw new BridgeError('CANCELLED', isOver ? `${message}; the outage is over` : message)
}

function explainUnnoticed(samples: readonly OutageSample[]): string {
  return samples.some(({ plugin }) => plugin === 'unknown') ? NOT_TOLD : NOT_NOTICED
}

/** Whether the plugin confirms the end. */
async function endOutage(
  { end, seconds, clock, onNote }: OutageDrillOptions,
  startedAt: number,
): Promise<boolean> {
  try {
    await end()
    return true
  } catch (error) {
    const left = Math.ceil(seconds - (clock.monotonic() - startedAt) / 1000)
    const rest =
      left > 0
        ? `; the plugin may stay disconnected from Vault for up to ${String(left)} s`
        : '; its time is over, so the plugin ends it automatically'
    onNote(`the end of the outage is not confirmed: ${BridgeError.from(error).message}${rest}`)
    return false
  }
}

async function removeSecret(
  { client, namespace, onNote }: OutageDrillOptions,
  path: string,
): Promise<void> {
  try {
    const { status, body } = await client.send({ method: 'DELETE', path })
    if (status >= 400 && status !== 404)
      throw explainAnswer(client.server, `DELETE ${path}`, status, body)
  } catch (error) {
    onNote(`the Secret ${namespace}/${NAME} was not removed: ${BridgeError.from(error).message}`)
  }
}

async function watch(
  options: OutageDrillOptions,
  path: string,
  signal: AbortSignal,
): Promise<readonly OutageSample[]> {
  const { seconds, patienceMs, clock, onSample } = options
  const samples: OutageSample[] = []
  const startedAt = clock.monotonic()
  while (!signal.aborted) {
    const at = (clock.monotonic() - startedAt) / 1000
    const sample = await probe(options, path, at, signal)
    // Its requests were canceled, so it says nothing.
    if (isAborted(signal)) break
    samples.push(sample)
    onSample(sample)
    if ((at > seconds && isHealthy(sample)) || at > seconds + patienceMs / 1000) break
    await wait(INTERVAL_MS, clock, signal)
  }
  return samples
}

/** A call, because TypeScript assumes that a property stays as it was checked. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted
}

function isHealthy(sample: OutageSample): boolean {
  return PROBES.every((probed) => works(sample, probed))
}

/** Throws NOT_CONVERGED after some time: an API server caches the health of its plugin for 20 s, and may have just restarted. */
async function requireHealthy(
  options: OutageDrillOptions,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = options
  const startedAt = clock.monotonic()
  while (!signal.aborted) {
    const sample = await probe(options, path, 0, signal)
    if (isAborted(signal)) break
    if (isHealthy(sample)) return
    if (clock.monotonic() - startedAt > READY_WITHIN_MS) throw alreadyFailing(sample)
    await wait(INTERVAL_MS, clock, signal)
  }
  throw new BridgeError('CANCELLED', 'stopped before the outage began')
}

function alreadyFailing({ ready, write, read, plugin }: OutageSample): BridgeError {
  const faults = [
    ...(ready ? [] : ['the API server does not report its KMS plugins as ready']),
    ...(write ? [] : ['it does not write a Secret']),
    ...(read ? [] : ['it does not read a Secret']),
    ...(plugin === 'connected' ? [] : [describePlugin(plugin)]),
  ]
  return new BridgeError(
    'NOT_CONVERGED',
    `the drill was not started, because not everything works now: ${faults.join('; ')}; fix that first (transit-bridge doctor)`,
  )
}

async function probe(
  { client, pluginState }: OutageDrillOptions,
  path: string,
  at: number,
  signal: AbortSignal,
): Promise<OutageSample> {
  const succeeds = async (request: KubeRequest) => {
    try {
      return (await client.send({ ...request, signal })).status < 400
    } catch {
      return false
    }
  }
  // An API server encrypts only a change, also to what an earlier drill left.
  const data = { unique: Buffer.from(randomUUID()).toString('base64') }
  const [ready, write, plugin] = await Promise.all([
    succeeds({ method: 'GET', path: '/readyz/kms-providers', accept: 'text/plain' }),
    succeeds({ method: 'PATCH', path, body: { data } }),
    pluginState(signal),
  ])
  return { at, ready, write, read: await succeeds({ method: 'GET', path }), plugin }
}
