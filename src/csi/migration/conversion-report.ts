import type { Fault } from '../../yaml/fault.ts'

/** A field of a class as messages name it, and its line in the whole file. */
export interface Field {
  readonly path: string
  readonly line: number
}

/** Collects what a conversion cannot express. */
export class ConversionReport {
  /** Fields without a counterpart. A person must decide. */
  readonly faults: Fault[] = []
  /** Fields whose counterpart is in the configuration of the administrator. */
  readonly notes: Fault[] = []

  fault(field: Field, message: string, hint?: string): void {
    this.faults.push({ ...field, message, hint })
  }

  note(field: Field, message: string): void {
    this.notes.push({ ...field, message })
  }
}
