import type { RaftFixture } from './fixture.ts'

/** What standbys do with requests: OpenBao's answer Transit themselves, those of HashiCorp Vault forward everything. */
export const STANDBYS = ['answer', 'forward'] as const
export type Standbys = (typeof STANDBYS)[number]

export interface RaftEvent {
  readonly name: string
  readonly run: (fixture: RaftFixture) => Promise<void>
  /** Which node is the first of vault.address. Default: the leader. */
  readonly first?: 'leader' | 'standby'
  /** Lifetime of the plugin's Vault tokens. Default: 1h. */
  readonly ttl?: string
  /** Default: both. */
  readonly standbys?: Standbys
  /**
   * A balancer cannot see that a node lags. If it leads only to such a node, calls fail after the tries for a version that a
   * standby does not have (src/kms/standby-lag.ts), although their deadlines may be later.
   */
  readonly balancerMayFail?: true
  /** The release that the cluster has before the event. Default: the newest. */
  readonly from?: 'bao-2.6'
}

export function kindsOf({ standbys }: RaftEvent): readonly Standbys[] {
  return standbys === undefined ? STANDBYS : [standbys]
}
