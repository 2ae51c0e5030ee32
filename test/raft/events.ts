import { setTimeout as sleep } from 'node:timers/promises'
import type { OpenBao, Release } from '../real/vault/openbao.ts'
import type { RaftEvent } from './event.ts'
import type { Scene } from './scene.ts'

/** Longer than an election, and than any call that begins with the fault and has the deadline of kube-apiserver. */
const HOLD_MS = 6_000

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
  { name: 'all nodes are restarted, one after another', run: (scene) => restartAll(scene) },
  {
    name: 'all nodes are upgraded from OpenBao 2.6 to 2.7, one after another',
    from: 'bao-2.6',
    standbys: 'answer',
    run: (scene) => restartAll(scene, 'bao'),
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
