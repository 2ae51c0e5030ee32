import { ANSWER_FAULTS } from './answer-faults.ts'
import { HOST_FAULTS } from './host-faults.ts'
import { NETWORK_FAULTS } from './network-faults.ts'
import type { Fault } from './fault.ts'

export const FAULTS: readonly Fault[] = [...NETWORK_FAULTS, ...ANSWER_FAULTS, ...HOST_FAULTS]
