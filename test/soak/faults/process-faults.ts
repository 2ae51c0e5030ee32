import { MEMBER_NAMES } from '../members/member.ts'
import { persist } from './persistence.ts'
import { faultOfMembers, faultOfVault, type SoakFault } from './soak-fault.ts'

const OF_PROGRAM = { members: MEMBER_NAMES, uses: ['process'], effect: 'down' } as const
const OF_VAULT = { members: MEMBER_NAMES, uses: ['vault'], effect: 'outage' } as const

/** What happens to the processes. */
export const PROCESS_FAULTS: readonly SoakFault[] = [
  faultOfMembers({
    name: 'SIGKILL of a program',
    weight: 3,
    ...OF_PROGRAM,
    endsProgram: true,
    begin: (member) => member.kill(),
    end: (member) => member.restart(),
  }),
  faultOfMembers({
    name: 'SIGTERM of a program',
    ...OF_PROGRAM,
    endsProgram: true,
    begin: (member) => member.stop(),
    end: (member) => member.restart(),
  }),
  faultOfMembers({
    name: 'SIGSTOP of a program',
    ...OF_PROGRAM,
    begin: ({ program }) => program.program.pause(),
    end: ({ program }) => program.program.resume(),
  }),
  faultOfVault({
    name: 'SIGKILL of OpenBao',
    weight: 2,
    ...OF_VAULT,
    begin: ({ pods }) => pods.bao.kill(),
    end: ({ pods }) => persist(() => pods.bao.restart()),
  }),
  faultOfVault({
    name: 'restart of OpenBao',
    ...OF_VAULT,
    begin: ({ pods }) => pods.bao.restart(),
  }),
  faultOfVault({
    name: 'SIGSTOP of OpenBao',
    ...OF_VAULT,
    begin: ({ pods }) => pods.bao.pause(),
    end: ({ pods }) => pods.bao.resume(),
  }),
]
