// The faults of the matrix (test/faults) that fit to the surroundings of the soak.
import { cellOf, PLACES, type Fault } from '../../faults/fault.ts'
import { FAULTS } from '../../faults/faults.ts'
import type { Certificate } from '../../faults/surroundings.ts'
import type { Effect } from '../members/condition.ts'
import { MEMBER_NAMES, PLUGIN_NAMES, type Member, type MemberName } from '../members/member.ts'
import { faultOfMembers, faultOfVault, type SoakFault } from './soak-fault.ts'
import type { World } from '../members/world.ts'

/** Which of them are not faults of the requests of one program to Vault. */
const SPECIAL: Readonly<Record<string, Partial<SoakFault>>> = {
  'connection refused': { uses: ['network'] },
  '503: sealed': { uses: ['vault'], concernsAll: true },
  "Vault's audit device is blocked": { uses: ['vault'], concernsAll: true },
  'no free file descriptor (EMFILE)': { uses: ['process', 'network'] },
  // A call that comes before the socket is back cannot connect.
  'the socket file is removed': { uses: ['process'], effect: 'down' },
  'the token file is empty for a moment, while it is replaced': {
    uses: ['token file'],
    members: PLUGIN_NAMES,
  },
  'the machine was suspended for ten minutes': {
    // It revokes the tokens of all programs. A plugin takes a second revocation within 5 s for a refusal.
    uses: ['process', 'vault', 'vault: tokens', 'network', 'clock'],
    effect: 'down',
  },
}

const OF_TLS: readonly MemberName[] = ['local keys', 'CSI']
const OF_CLOCK: readonly MemberName[] = ['Transit only']

export const MATRIX_FAULTS: readonly SoakFault[] = FAULTS.flatMap((fault) => {
  const { surroundings } = fault
  if (surroundings === 'proxy')
    return [convert(fault, { members: MEMBER_NAMES, uses: ['requests'] })]
  return surroundings === 'clock' ? [convert(fault, { members: OF_CLOCK, uses: ['clock'] })] : []
})

export const CERTIFICATE_FAULTS: readonly SoakFault[] = [
  ...(['expired', 'foreign', 'misnamed'] as const satisfies readonly Certificate[]).map(
    (certificate) =>
      faultOfMembers({
        name: `a certificate that is ${certificate}`,
        members: OF_TLS,
        uses: ['certificate'],
        effect: 'outage',
        begin: ({ front }) => front?.present(certificate),
        end: ({ front }) => front?.presentTrusted(),
      }),
  ),
  faultOfMembers({
    name: 'another certificate authority, in the server and in vault.caFile',
    members: OF_TLS,
    uses: ['certificate'],
    effect: 'outage',
    begin: ({ front }) => front?.changeAuthority(),
  }),
]

function convert(fault: Fault, base: Pick<SoakFault, 'members' | 'uses'>): SoakFault {
  const { concernsAll = false, ...special } = SPECIAL[fault.name] ?? {}
  const given = { name: fault.name, effect: effectOf(fault), ...base, ...special }
  if (concernsAll) {
    const stageOf = ({ csi }: World) => csi.stage
    return faultOfVault({
      ...given,
      begin: (world) => fault.begin(stageOf(world), all),
      end: (world) => fault.end(stageOf(world)),
    })
  }
  return faultOfMembers({
    ...given,
    begin: ({ stage }: Member) => fault.begin(stage, all),
    end: ({ stage }: Member) => fault.end(stage),
  })
}

/** Nothing that a caller notices, if the matrix says so for each place. */
function effectOf(fault: Fault): Effect {
  const works = PLACES.filter((place) => place !== 'start')
    .map((place) => cellOf(fault, place))
    .every((cell) => 'none' in cell || (cell.answer === 'OK' && cell.health === 'ok'))
  return works ? 'none' : 'outage'
}

function all(): boolean {
  return true
}
