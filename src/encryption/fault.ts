import type { Fault } from '../yaml/fault.ts'
import type { Problem } from './decoder.ts'

/**
 * The severity of a finding: kube-apiserver does not start (`refused`), it starts and data is at risk (`unsafe`), or the
 * configuration is right for now and needs a later change (`note`).
 */
export type Severity = 'refused' | 'unsafe' | 'note'

/** A finding about an EncryptionConfiguration. */
export interface EncryptionFault extends Fault {
  readonly severity: Severity
}

/** A finding that does not keep kube-apiserver from starting; the line is added later. */
export type SafetyProblem = Problem & { readonly severity: Exclude<Severity, 'refused'> }
