import { writeFileSync } from 'node:fs'
import { after, test } from 'tap'
import { PrivateNetwork } from '../real/host/private-network.ts'
import type { Release } from '../real/vault/openbao.ts'
import { STANDBYS, type RaftEvent, type Standbys } from './event.ts'
import { EVENTS } from './events.ts'
import { measure, type EventFigures } from './measure.ts'
import { addHosts, Scene } from './scene.ts'

/** Only events whose name contains this, while an event is examined. */
const ONLY = process.env['TRANSIT_BRIDGE_RAFT'] ?? ''
/** Where the figures are written. */
const FIGURES = process.env['TRANSIT_BRIDGE_RAFT_FIGURES']

const network = PrivateNetwork.open()
const hosts = await addHosts(network)
const measured: Record<string, Partial<Record<Standbys, EventFigures>>> = {}
after(() => network.stop())

for (const standbys of STANDBYS) {
  const events = EVENTS.filter(
    (event) => event.name.includes(ONLY) && (event.standbys ?? standbys) === standbys,
  )
  const releases = Map.groupBy<Release, RaftEvent>(events, (event) => event.from ?? 'bao')
  for (const [release, ofRelease] of releases) {
    const scene = await Scene.open(network, hosts, standbys, release)
    for (const event of ofRelease) await runEvent(scene, event, standbys)
    await scene.stop()
  }
}
if (FIGURES !== undefined) writeFileSync(FIGURES, `${JSON.stringify(measured, undefined, 2)}\n`)

async function runEvent(scene: Scene, event: RaftEvent, standbys: Standbys): Promise<void> {
  await test(`standbys ${standbys}: ${event.name}`, async (t) => {
    const { figures, remarks } = await measure(scene, event)
    measured[event.name] = { ...measured[event.name], [standbys]: figures }
    t.comment(JSON.stringify(figures))
    for (const remark of remarks) t.comment(remark)
    for (const way of ['addresses', 'balancer'] as const) {
      const { wrong, lost, avoidable, gapMs } = figures[way]
      t.equal(wrong, 0, `${way}: no wrong plaintext, and no older key id after a newer one`)
      t.equal(lost, 0, `${way}: no ciphertext is lost`)
      t.equal(avoidable, 0, `${way}: no call fails whose deadline allows another try`)
      t.ok(gapMs <= figures.outageMs + 1_000, `${way}: a gap of ${gapMs.toFixed(0)} ms`)
    }
    t.equal(figures.mounts.avoidable, 0, 'no Mount fails whose limit allows another try')
  })
}
