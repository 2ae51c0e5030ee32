import { setTimeout as sleep } from 'node:timers/promises'
import { newPod } from '../csi/pod-vault.ts'
import { CsiClient } from '../real/program/csi-client.ts'
import type { WrappedSeed } from '../real/program/kms-client.ts'
import type { Plugin } from '../real/program/plugin.ts'
import { Availability, type ProbeLine } from './availability.ts'
import type { RaftEvent } from './event.ts'
import type { EventFigures, WayFigures } from './figures.ts'
import { KmsLoad } from './load.ts'
import { APP_KEY, type RaftFixture } from './fixture.ts'
import { Tally, type Call } from './tally.ts'

/** How long the load runs before the event, and after the cluster is whole again. */
const MARGIN_MS = 2_000
const MOUNT_PAUSE_MS = 500
/** The provider's own limit of a Mount (src/csi). */
const MOUNT_MS = 20_000
const VALUE = 'a value'

export interface Measured {
  readonly figures: EventFigures
  /** For a person who examines a failure. */
  readonly remarks: readonly string[]
}

/** Runs an event under load. */
export async function measure(fixture: RaftFixture, event: RaftEvent): Promise<Measured> {
  const { first = 'leader', ttl = '1h' } = event
  await fixture.settle()
  await fixture.vault.enableLogin({ ttl })
  const addresses = await fixture.addresses(first)
  const balancer = await fixture.startBalancer()
  const direct = await fixture.startPlugin(addresses)
  const balanced = await fixture.startPlugin(balancer.address)
  const provider = await fixture.startProvider(addresses)
  const probe = fixture.startProbe()
  const all: [Buffer, WrappedSeed][] = []
  const loads = { addresses: new KmsLoad(direct, all), balancer: new KmsLoad(balanced, all) }
  const mounts = new Tally()
  const driver = new CsiClient(provider.socket)
  const objects = await mountedObjects(fixture)
  const end = new AbortController()
  const mounting = async () => {
    const started: Promise<void>[] = []
    while (!end.signal.aborted) {
      started.push(mounts.count('mount', MOUNT_MS, () => mount(fixture, driver, objects)))
      await sleep(MOUNT_PAUSE_MS)
    }
    await Promise.all(started)
  }
  const happen = Promise.withResolvers<void>()
  const loaded = Promise.all([
    ...Object.values(loads).map((load) => load.run(() => happen.promise)),
    mounting(),
  ])
  try {
    await sleep(MARGIN_MS)
    await event.run(fixture)
  } finally {
    fixture.network.heal()
    await fixture.settle()
    await sleep(MARGIN_MS)
    happen.resolve()
    end.abort()
    await loaded
  }
  await probe.kill()
  const vault = new Availability(readLines(probe.output()))
  const remarks: string[] = []
  const figuresOf = async (name: keyof typeof loads, plugin: Plugin): Promise<WayFigures> => {
    const { tally, wrong, notOkMs, seeds } = loads[name]
    const avoidable = tally.avoidable(vault)
    remarks.push(...wrong.map((words) => `${name}: ${words}`))
    remarks.push(...describeFailures(`${name}, avoidable`, avoidable))
    remarks.push(...describeFailures(name, tally.failed))
    await plugin.stop()
    const successor = await fixture.startPlugin(addresses)
    let lost = 0
    for (const [seed, wrapped] of seeds) {
      const plaintext = await successor.client
        .decrypt(wrapped, { timeout: 10_000 })
        .catch(() => undefined)
      if (plaintext?.equals(seed) !== true) lost += 1
    }
    await successor.stop()
    return {
      calls: tally.calls,
      failed: tally.failed.length,
      avoidable: avoidable.length,
      gapMs: tally.longestGapMs,
      notOkMs,
      wrong: wrong.length,
      lost,
    }
  }
  const figures = {
    outageMs: vault.longestOutageMs,
    addresses: await figuresOf('addresses', direct),
    balancer: await figuresOf('balancer', balanced),
    mounts: {
      calls: mounts.calls,
      failed: mounts.failed.length,
      avoidable: mounts.avoidable(vault).length,
    },
  }
  remarks.push(...describeFailures('provider', mounts.failed))
  driver.close()
  await provider.stop()
  await balancer.program.kill()
  return { figures, remarks }
}

function describeFailures(who: string, calls: readonly Call[]): string[] {
  return calls
    .slice(0, 8)
    .map(
      ({ kind, from, to, deadline, fault }) =>
        `${who}: ${kind} of ${(deadline - from).toFixed(0)} ms failed after ${(to - from).toFixed(0)} ms: ${String(fault)}`,
    )
}

async function mountedObjects({ pods }: RaftFixture): Promise<object[]> {
  const ciphertext = await pods.encrypt(APP_KEY, VALUE)
  return [{ path: 'value', type: 'decrypt', key: APP_KEY, ciphertext }]
}

async function mount({ pods }: RaftFixture, driver: CsiClient, objects: object[]): Promise<void> {
  const { files } = await driver.mount({ attributes: await pods.attributes(newPod(), objects) })
  if (String(files.get('value')?.contents) !== VALUE) throw new Error('a Mount with a wrong value')
}

function readLines(output: string): ProbeLine[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as ProbeLine)
}
