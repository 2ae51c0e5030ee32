import { CERTIFICATE_FAULTS, MATRIX_FAULTS } from './matrix-faults.ts'
import { NETWORK_FAULTS } from './network-faults.ts'
import { PROCESS_FAULTS } from './process-faults.ts'
import type { SoakFault } from './soak-fault.ts'
import { VAULT_FAULTS } from './vault-faults.ts'

/** Every fault that a run chooses from. */
export const SOAK_FAULTS: readonly SoakFault[] = [
  ...MATRIX_FAULTS,
  ...CERTIFICATE_FAULTS,
  ...NETWORK_FAULTS,
  ...PROCESS_FAULTS,
  ...VAULT_FAULTS,
]
