import { MEMBER_NAMES } from '../members/member.ts'
import { faultOfMembers, type SoakFault } from './soak-fault.ts'

const AT_NETWORK = { members: MEMBER_NAMES, uses: ['network'] } as const
const DELAY_MS = 50
const CUT_AFTER_BYTES = 2_000

/** What the network between a program and Vault does, besides the faults of the matrix. */
export const NETWORK_FAULTS: readonly SoakFault[] = [
  faultOfMembers({
    name: 'a firewall that forgets all connections and answers no new one',
    ...AT_NETWORK,
    effect: 'outage',
    begin: ({ stage }) => stage.network.hang(),
    end: ({ stage }) => stage.network.pass(),
  }),
  faultOfMembers({
    name: 'connections that end in the middle',
    ...AT_NETWORK,
    effect: 'outage',
    begin: ({ stage }) => stage.network.cut(CUT_AFTER_BYTES),
    end: ({ stage }) => stage.network.pass(),
  }),
  faultOfMembers({
    name: 'connections that are reset',
    ...AT_NETWORK,
    effect: 'outage',
    begin: ({ stage }) => stage.network.reset(),
    end: ({ stage }) => stage.network.pass(),
  }),
  faultOfMembers({
    name: 'a slow network',
    ...AT_NETWORK,
    effect: 'none',
    begin: ({ stage }) => stage.network.slow(DELAY_MS),
    end: ({ stage }) => stage.network.pass(),
  }),
  faultOfMembers({
    name: 'a slow Vault',
    members: MEMBER_NAMES,
    uses: ['requests'],
    effect: 'none',
    begin: ({ stage }) => stage.http.delay(DELAY_MS),
    end: ({ stage }) => stage.http.clear(),
  }),
]
