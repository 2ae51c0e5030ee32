import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import { wait } from '../time/wait.ts'
import type { KubeClient } from '../kube/client.ts'
import { explainAnswer } from '../kube/fault.ts'
import type { OutageSample } from './outage-record.ts'

/** The Secret that is written and read; it holds a number. */
const NAME = 'transit-bridge-drill'
const INTERVAL = 1_000

export interface OutageDrillOptions {
  readonly client: KubeClient
  /** Of the Secret. */
  readonly namespace: string
  readonly seconds: number
  /** How long recovery is waited for (milliseconds). */
  readonly patience: number
  readonly begin: () => Promise<void>
  readonly end: () => Promise<void>
  readonly clock: Clock
  readonly onSample: (sample: OutageSample) => void
}

/**
 * Takes Vault away and looks at the API server once a second, until all works again. Whatever happens, the outage is ended
 * and the Secret removed.
 */
export async function runOutageDrill(
  options: OutageDrillOptions,
  signal: AbortSignal,
): Promise<readonly OutageSample[]> {
  const { client, namespace, begin, end } = options
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets`
  const made = await client.send({ method: 'POST', path, body: { metadata: { name: NAME } } })
  // One that is there was left by a run that was killed.
  if (made.status >= 400 && made.status !== 409)
    throw explainAnswer(client.server, `POST ${path}`, made.status, made.body)
  try {
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
  { client, seconds, patience, clock, onSample }: OutageDrillOptions,
  path: string,
  signal: AbortSignal,
): Promise<readonly OutageSample[]> {
  const samples: OutageSample[] = []
  const startedAt = clock.monotonic()
  for (;;) {
    const at = (clock.monotonic() - startedAt) / 1000
    const sample = await probe(client, path, at, samples.length)
    samples.push(sample)
    onSample(sample)
    if (signal.aborted) throw new BridgeError('CANCELLED', 'stopped before the end; vault is back')
    const isWell = sample.ready && sample.write && sample.read
    if ((at > seconds && isWell) || at > seconds + patience / 1000) return samples
    await wait(INTERVAL, clock, signal)
  }
}

async function probe(
  client: KubeClient,
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
  const [ready, write] = await Promise.all([
    works(client.send({ method: 'GET', path: '/readyz/kms-providers', accept: 'text/plain' })),
    works(client.send({ method: 'PATCH', path, body: { data } })),
  ])
  return { at, ready, write, read: await works(client.send({ method: 'GET', path })) }
}
