import type { Fault } from '../yaml/fault.ts'

/**
 * How bad something in an EncryptionConfiguration is: kube-apiserver does not start with it, it starts and something is
 * at risk, or it is as it should be for now and somebody must not forget it.
 */
export type Severity = 'refused' | 'unsafe' | 'note'

/** One thing to say about an EncryptionConfiguration. */
export interface EncryptionFault extends Fault {
  readonly severity: Severity
}
