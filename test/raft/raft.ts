import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { after, test } from 'tap'
import { PrivateNetwork } from '../real/host/private-network.ts'
import type { Release } from '../real/vault/openbao.ts'
import { kindsOf, STANDBYS, type RaftEvent, type Standbys } from './event.ts'
import { EVENTS, NOTHING } from './events.ts'
import type { RaftFigures } from './figures.ts'
import { measure } from './measure.ts'
import { addHosts, RaftFixture } from './fixture.ts'

/** Only events whose name contains this, while an event is examined. */
const ONLY = process.env['TRANSIT_BRIDGE_RAFT'] ?? ''
/** How much longer than Vault's own outage a gap may be, on a machine that does nothing else. */
const LONGER_GAP_MS = 1_000
/** Where the figures are written. */
const FIGURES = process.env['TRANSIT_BRIDGE_RAFT_FIGURES']

const network = PrivateNetwork.open()
const hosts = await addHosts(network)
const measured: RaftFigures =
  FIGURES !== undefined && existsSync(FIGURES) ? readFigures(FIGURES) : {}
after(() => network.stop())

for (const standbys of STANDBYS) {
  const events = EVENTS.filter((event) => isWanted(event) && kindsOf(event).includes(standbys))
  const releases = Map.groupBy<Release, RaftEvent>(events, (event) => event.from ?? 'bao')
  for (const [release, ofRelease] of releases) {
    const fixture = await RaftFixture.open(network, hosts, standbys, release)
    for (const event of ofRelease) await runEvent(fixture, event, standbys)
    await fixture.stop()
  }
}
if (FIGURES !== undefined) writeFileSync(FIGURES, `${JSON.stringify(measured, undefined, 2)}\n`)

/** Figures of events that are not run again are kept. */
function readFigures(file: string): RaftFigures {
  return JSON.parse(readFileSync(file, 'utf8')) as RaftFigures
}

/** The other events are compared with the load when nothing happens. */
function isWanted({ name }: RaftEvent): boolean {
  return name.includes(ONLY) || name === NOTHING
}

async function runEvent(fixture: RaftFixture, event: RaftEvent, standbys: Standbys): Promise<void> {
  await test(`standbys ${standbys}: ${event.name}`, async (t) => {
    const { figures, remarks } = await measure(fixture, event)
    measured[event.name] = { ...measured[event.name], [standbys]: figures }
    t.comment(JSON.stringify(figures))
    for (const remark of remarks) t.comment(remark)
    for (const way of ['addresses', 'balancer'] as const) {
      const { wrong, lost, avoidable, gapMs } = figures[way]
      const quietMs = measured[NOTHING]?.[standbys]?.[way].gapMs ?? 0
      const limitMs = figures.outageMs + quietMs + LONGER_GAP_MS
      t.equal(wrong, 0, `${way}: no wrong plaintext, and no older key id after a newer one`)
      t.equal(lost, 0, `${way}: no ciphertext is lost`)
      const mayFail = way === 'balancer' && event.balancerMayFail === true
      if (!mayFail) t.equal(avoidable, 0, `${way}: no call fails whose deadline allows another try`)
      t.ok(gapMs <= limitMs, `${way}: a gap of ${gapMs.toFixed(0)} of ${limitMs.toFixed(0)} ms`)
    }
    t.equal(figures.mounts.avoidable, 0, 'no Mount fails whose limit allows another try')
  })
}
