import { setTimeout as sleep } from 'node:timers/promises'
import type { OpenBao, Release } from '../real/vault/openbao.ts'
import { eventually } from '../real/host/eventually.ts'
import { KEY } from '../real/vault/kms-vault.ts'
import { rotateKey } from '../real/vault/transit-setup.ts'
import type { RaftEvent } from './event.ts'
import type { Scene } from './scene.ts'

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
    run: (scene) => partition(scene, (leader) => scene.cut(leader, 'all')),
  },
  {
    name: 'the leader is cut off from the standbys only',
    run: (scene) => partition(scene, (leader) => scene.cut(leader, 'nodes')),
  },
  {
    name: 'a standby is cut off from all other hosts',
    first: 'standby',
    run: async (scene) => partition(scene, async () => scene.cut(await scene.standby(), 'all')),
  },
  {
    name: 'the plugin is cut off from the leader only',
    run: (scene) => partition(scene, (leader) => scene.cut(leader, 'client')),
  },
  {
    name: 'the leader receives from the standbys, and what it sends to them is lost',
    run: (scene) => partition(scene, (leader) => scene.loseFrom(leader, 'nodes')),
  },
  {
    name: 'what the leader sends to the plugin is lost',
    run: (scene) => partition(scene, (leader) => scene.loseFrom(leader, 'client')),
  },
  { name: 'the leader steps down', run: (scene) => scene.cluster.stepDown() },
  { name: 'the leader steps down, and the next one is killed', run: electTwice },
  { name: 'a standby is sealed', first: 'standby', run: sealStandby },
  { name: 'all nodes are restarted, one after another', run: (scene) => restartAll(scene) },
  {
    name: 'all nodes are upgraded from OpenBao 2.6 to 2.7, one after another',
    from: 'bao-2.6',
    standbys: 'answer',
    run: async (scene) => {
      await scene.requireRelease('2.6.')
      await restartAll(scene, 'bao')
      await scene.requireRelease('2.7.')
    },
  },
  {
    name: 'the key is rotated while the first node, a standby, is cut off from the other nodes',
    first: 'standby',
    run: async (scene) =>
      partition(scene, async () => {
        scene.cut(await scene.standby(), 'nodes')
        await scene.rotate()
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

async function killLeader({ cluster }: Scene): Promise<void> {
  const leader = await cluster.leader()
  await leader.kill()
  await sleep(HOLD_MS)
  await leader.restart()
}

async function partition(
  scene: Scene,
  cut: (leader: OpenBao) => Promise<void> | void,
): Promise<void> {
  await cut(await scene.cluster.leader())
  await sleep(HOLD_MS)
  scene.network.heal()
}

/** The standbys first, as OpenBao's documentation advises, each after the one before has joined again. */
async function restartAll(scene: Scene, release?: Release): Promise<void> {
  const leader = await scene.cluster.leader()
  for (const member of [...(await scene.cluster.standbys()), leader]) {
    await member.restart({ release })
    await scene.settle()
  }
}

async function electTwice({ cluster }: Scene): Promise<void> {
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

async function sealStandby(scene: Scene): Promise<void> {
  const standby = await scene.standby()
  await standby.restart({ sealed: true })
  await sleep(HOLD_MS)
  await standby.unseal()
}

/** The standby shows the version before the rotation, and the plugin has announced the one after it. */
async function reachOnlyLaggingStandby(scene: Scene): Promise<void> {
  const leader = await scene.cluster.leader()
  const [standby, other] = await scene.cluster.standbys()
  if (standby === undefined || other === undefined) throw new Error('the cluster has no standbys')
  scene.cut(standby, 'nodes')
  await scene.rotate()
  await sleep(REFRESHED_MS)
  scene.cut(leader, 'client')
  scene.cut(other, 'client')
  await sleep(HOLD_MS)
  scene.network.heal()
}

/** The rotation is committed by the next leader; the former one still has the old version when it can be reached again. */
async function rotateDuringPartition(scene: Scene): Promise<void> {
  const former = await scene.cluster.leader()
  scene.cut(former, 'nodes')
  await eventually('another leader', async () => {
    const standbys = await scene.cluster.standbys()
    const others = scene.cluster.members.filter((member) => member !== former)
    const next = others.find((member) => !standbys.includes(member))
    if (next === undefined) return false
    await rotateKey(next, KEY)
    return true
  })
  await sleep(REFRESHED_MS)
  scene.network.heal()
}
