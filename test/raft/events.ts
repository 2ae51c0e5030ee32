import { setTimeout as sleep } from 'node:timers/promises'
import type { OpenBao, Release } from '../real/vault/openbao.ts'
import { eventually } from '../real/host/eventually.ts'
import { KEY } from '../real/vault/kms-vault.ts'
import { rotateKey } from '../real/vault/transit-setup.ts'
import type { RaftEvent } from './event.ts'
import type { RaftFixture } from './fixture.ts'

/** Longer than an election, and than any call that begins with the fault and has the deadline of kube-apiserver. */
const HOLD_MS = 6_000

/** More than twice kms.refreshInterval. */
const REFRESHED_MS = 2_500

export const NOTHING = 'nothing happens'

export const EVENTS: readonly RaftEvent[] = [
  { name: NOTHING, run: () => sleep(HOLD_MS) },
  { name: 'the leader is killed', run: killLeader },
  { name: 'the leader is killed, and Vault tokens end every 3 s', ttl: '3s', run: killLeader },
  {
    name: 'the leader is cut off from all other hosts',
    run: (fixture) => partition(fixture, (leader) => fixture.cut(leader, 'all')),
  },
  {
    name: 'the leader is cut off from the standbys only',
    run: (fixture) => partition(fixture, (leader) => fixture.cut(leader, 'nodes')),
  },
  {
    name: 'a standby is cut off from all other hosts',
    first: 'standby',
    run: async (fixture) =>
      partition(fixture, async () => fixture.cut(await fixture.standby(), 'all')),
  },
  {
    name: 'the plugin is cut off from the leader only',
    run: (fixture) => partition(fixture, (leader) => fixture.cut(leader, 'client')),
  },
  {
    name: 'the leader receives from the standbys, and what it sends to them is lost',
    run: (fixture) => partition(fixture, (leader) => fixture.loseFrom(leader, 'nodes')),
  },
  {
    name: 'what the leader sends to the plugin is lost',
    run: (fixture) => partition(fixture, (leader) => fixture.loseFrom(leader, 'client')),
  },
  { name: 'the leader steps down', run: (fixture) => fixture.cluster.stepDown() },
  { name: 'the leader steps down, and the next one is killed', run: electTwice },
  { name: 'a standby is sealed', first: 'standby', run: sealStandby },
  { name: 'all nodes are restarted, one after another', run: (fixture) => restartAll(fixture) },
  {
    name: 'all nodes are upgraded from OpenBao 2.6 to 2.7, one after another',
    from: 'bao-2.6',
    standbys: 'answer',
    run: async (fixture) => {
      await fixture.requireRelease('2.6.')
      await restartAll(fixture, 'bao')
      await fixture.requireRelease('2.7.')
    },
  },
  {
    name: 'the key is rotated while the first node, a standby, is cut off from the other nodes',
    first: 'standby',
    run: async (fixture) =>
      partition(fixture, async () => {
        fixture.cut(await fixture.standby(), 'nodes')
        await fixture.rotate()
      }),
  },
  {
    name: 'the plugin reaches only a standby that lags behind a rotation',
    standbys: 'answer',
    balancerMayFail: true,
    run: reachOnlyLaggingStandby,
  },
  { name: 'the leader is cut off while the key is rotated', run: rotateDuringPartition },
]

async function killLeader({ cluster }: RaftFixture): Promise<void> {
  const leader = await cluster.leader()
  await leader.kill()
  await sleep(HOLD_MS)
  await leader.restart()
}

async function partition(
  fixture: RaftFixture,
  cut: (leader: OpenBao) => Promise<void> | void,
): Promise<void> {
  await cut(await fixture.cluster.leader())
  await sleep(HOLD_MS)
  fixture.network.heal()
}

/** The standbys first, as OpenBao's documentation advises, each after the one before has joined again. */
async function restartAll(fixture: RaftFixture, release?: Release): Promise<void> {
  const leader = await fixture.cluster.leader()
  for (const member of [...(await fixture.cluster.standbys()), leader]) {
    await member.restart({ release })
    await fixture.settle()
  }
}

async function electTwice({ cluster }: RaftFixture): Promise<void> {
  const former = await cluster.leader()
  await cluster.stepDown()
  const next = await eventually('another leader', async () => {
    const leader = await cluster.leader()
    return leader !== former && leader
  })
  await next.kill()
  await sleep(HOLD_MS)
  await next.restart()
}

async function sealStandby(fixture: RaftFixture): Promise<void> {
  const standby = await fixture.standby()
  await standby.restart({ sealed: true })
  await sleep(HOLD_MS)
  await standby.unseal()
}

/** The standby shows the version before the rotation, and the plugin has announced the one after it. */
async function reachOnlyLaggingStandby(fixture: RaftFixture): Promise<void> {
  const leader = await fixture.cluster.leader()
  const [standby, other] = await fixture.cluster.standbys()
  if (standby === undefined || other === undefined) throw new Error('the cluster has no standbys')
  fixture.cut(standby, 'nodes')
  await fixture.rotate()
  await sleep(REFRESHED_MS)
  fixture.cut(leader, 'client')
  fixture.cut(other, 'client')
  await sleep(HOLD_MS)
  fixture.network.heal()
}

/** The rotation is committed by the next leader; the former one still has the old version when it can be reached again. */
async function rotateDuringPartition(fixture: RaftFixture): Promise<void> {
  const former = await fixture.cluster.leader()
  fixture.cut(former, 'nodes')
  await eventually('another leader', async () => {
    const standbys = await fixture.cluster.standbys()
    const others = fixture.cluster.members.filter((member) => member !== former)
    const next = others.find((member) => !standbys.includes(member))
    if (next === undefined) return false
    await rotateKey(next, KEY)
    return true
  })
  await sleep(REFRESHED_MS)
  fixture.network.heal()
}
