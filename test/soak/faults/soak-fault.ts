import type { Effect } from '../members/condition.ts'
import type { Member } from '../members/member.ts'
import type { FaultKind } from './plan.ts'
import type { World } from '../members/world.ts'

export type End = () => Promise<void> | void

export interface SoakFault extends FaultKind {
  /** What it means for each program that it concerns. */
  readonly effect: Effect
  /** Begins it, and returns how it ends. */
  readonly begin: (world: World, members: readonly Member[]) => Promise<End> | End
}

type Given = Pick<SoakFault, 'name' | 'members' | 'effect'> &
  Partial<Pick<SoakFault, 'uses' | 'endsProgram' | 'weight'>>

/** A fault of one program, or of some. */
export function faultOfMembers({
  begin,
  end = () => undefined,
  ...given
}: Given & {
  readonly begin: (member: Member, world: World) => Promise<void> | void
  readonly end?: (member: Member, world: World) => Promise<void> | void
}): SoakFault {
  return {
    ...withDefaults(given),
    concernsAll: false,
    begin: async (world, members) => {
      await Promise.all(members.map(async (member) => begin(member, world)))
      return async () => {
        await Promise.all(members.map(async (member) => end(member, world)))
      }
    },
  }
}

/** A fault of Vault, which concerns all programs that are named. */
export function faultOfVault({
  begin,
  end = () => undefined,
  ...given
}: Given & {
  readonly begin: (world: World) => Promise<void> | void
  readonly end?: (world: World) => Promise<void> | void
}): SoakFault {
  return {
    ...withDefaults(given),
    concernsAll: true,
    begin: async (world) => {
      await begin(world)
      return () => end(world)
    },
  }
}

function withDefaults({ uses = [], endsProgram = false, ...rest }: Given) {
  return { ...rest, uses, endsProgram }
}
