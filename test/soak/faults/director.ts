import { setTimeout as sleep } from 'node:timers/promises'
import type { Member } from '../members/member.ts'
import type { Episode, PlannedFault } from './plan.ts'
import type { Random } from '../random.ts'
import type { Recovery, Works } from './recovery.ts'
import { OBJECTS } from '../load/handed-out.ts'
import { PluginMember } from '../members/plugin-member.ts'
import type { CsiMember } from '../members/csi-member.ts'
import type { SoakFault } from './soak-fault.ts'
import type { World } from '../members/world.ts'

export interface DirectorOptions {
  readonly world: World
  readonly faults: readonly SoakFault[]
  readonly recovery: Recovery
  readonly random: Random
  readonly onFault: (text: string) => void
}

/** Lets the planned faults happen. */
export class Director {
  readonly #options: DirectorOptions

  constructor(options: DirectorOptions) {
    this.#options = options
  }

  async run(episode: Episode): Promise<void> {
    await Promise.all(episode.faults.map((fault) => this.#happen(fault)))
    // Faults that ended at the same time leave the recovery to each other.
    await this.recoverAll(episode.faults.map(({ kind }) => kind).join(', '))
    await sleep(episode.calmMs)
  }

  async recoverAll(fault: string): Promise<void> {
    await Promise.all(this.#options.world.members.map((member) => this.#recover(member, fault)))
  }

  async #happen({ kind, members: names, atMs, durationMs }: PlannedFault): Promise<void> {
    const { world, faults, onFault } = this.#options
    const fault = faults.find(({ name }) => name === kind)
    if (fault === undefined) throw new Error(`an unknown fault: ${kind}`)
    const members = world.members.filter(({ name }) => names.includes(name))
    await sleep(atMs)
    onFault(`${kind} (${names.join(', ')}; ${(durationMs / 1000).toFixed(1)} s)`)
    for (const { condition } of members) condition.begin(fault.effect)
    const end = await fault.begin(world, members)
    await sleep(durationMs)
    await end()
    for (const { condition } of members) condition.end(fault.effect)
    await Promise.all(members.map((member) => this.#recover(member, kind)))
  }

  async #recover(member: Member, fault: string): Promise<void> {
    const { recovery, random } = this.#options
    const works: Works =
      member instanceof PluginMember
        ? (endedAt) => member.works(random.between(0, OBJECTS - 1), endedAt)
        : () => (member as CsiMember).works()
    await recovery.wait(member, works, fault)
  }
}
