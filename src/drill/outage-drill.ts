import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import { wait } from '../time/wait.ts'
import type { KubeClient } from '../kube/client.ts'
import { explainAnswer } from '../kube/fault.ts'
import type { OutageSample } from './outage-record.ts'

/** The Secret that the drill writes and reads; it holds a number. */
const NAME = 'transit-bridge-drill'
const INTERVAL_MS = 1_000
const READY_WITHIN_MS = 30_000

export interface OutageDrillOptions {
  readonly client: KubeClient
  /** Of the Secret. */
  readonly namespace: string
  readonly seconds: number
  /** How long to wait for recovery. */
  readonly patienceMs: number
  readonly begin: () => Promise<void>
  readonly end: () => Promise<void>
  /** Whether the plugin reached Vault in its last check. */
  readonly reachesVault: () => Promise<boolean>
  readonly clock: Clock
  readonly onSample: (sample: OutageSample) => void
}

/**
 * Simulates an outage of Vault and probes the API server every second until everything works again. It always ends the
 * outage and removes the Secret.
 */
export async function runOutageDrill(
  options: OutageDrillOptions,
  signal: AbortSignal,
): Promise<readonly OutageSample[]> {
  const { client, namespace, begin, end } = options
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets`
  const made = await client.send({ method: 'POST', path, body: { metadata: { name: NAME } } })
  // 409: a run that was killed left the Secret.
  if (made.status >= 400 && made.status !== 409)
    throw explainAnswer(client.server, `POST ${path}`, made.status, made.body)
  try {
    // Otherwise the drill would measure another fault, and make it worse.
    await requireHealthy(options, `${path}/${NAME}`, signal)
    await begin()
    try {
      return await watch(options, `${path}/${NAME}`, signal)
    } finally {
      await end()
    }
  } finally {
    await client.send({ method: 'DELETE', path: `${path}/${NAME}` })
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
  for (;;) {
    const at = (clock.monotonic() - startedAt) / 1000
    const sample = await probe(options, path, at, samples.length)
    samples.push(sample)
    onSample(sample)
    if (signal.aborted)
      throw new BridgeError('CANCELLED', 'stopped before the end; the outage is over')
    if ((at > seconds && isHealthy(sample)) || at > seconds + patienceMs / 1000) return samples
    await wait(INTERVAL_MS, clock, signal)
  }
}

function isHealthy({ ready, write, read, plugin }: OutageSample): boolean {
  return ready && write && read && plugin
}

/** Throws NOT_CONVERGED after some time: an API server caches the health of its plugin for 20 s, and may have just restarted. */
async function requireHealthy(
  options: OutageDrillOptions,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = options
  const startedAt = clock.monotonic()
  for (;;) {
    const sample = await probe(options, path, 0, 0)
    if (isHealthy(sample)) return
    if (clock.monotonic() - startedAt > READY_WITHIN_MS) throw alreadyFailing(sample)
    await wait(INTERVAL_MS, clock, signal)
  }
}

function alreadyFailing({ ready, write, read, plugin }: OutageSample): BridgeError {
  const faults = [
    ...(ready ? [] : ['the API server does not report its KMS plugins as ready']),
    ...(write ? [] : ['it does not write a Secret']),
    ...(read ? [] : ['it does not read a Secret']),
    ...(plugin ? [] : ['the plugin does not reach Vault']),
  ]
  return new BridgeError(
    'NOT_CONVERGED',
    `the drill was not started, because not everything works now: ${faults.join('; ')}; fix that first (transit-bridge doctor)`,
  )
}

async function probe(
  { client, reachesVault }: OutageDrillOptions,
  path: string,
  at: number,
  count: number,
): Promise<OutageSample> {
  const works = async (work: Promise<{ readonly status: number }>) => {
    try {
      return (await work).status < 400
    } catch {
      return false
    }
  }
  const data = { count: Buffer.from(String(count)).toString('base64') }
  const [ready, write, plugin] = await Promise.all([
    works(client.send({ method: 'GET', path: '/readyz/kms-providers', accept: 'text/plain' })),
    works(client.send({ method: 'PATCH', path, body: { data } })),
    reachesVault(),
  ])
  return { at, ready, write, read: await works(client.send({ method: 'GET', path })), plugin }
}
