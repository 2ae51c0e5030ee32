import type { ErrorCode } from '../errors.ts'
import type { StoredValue } from '../storage/stored-value.ts'

/** An object with what its value is. */
export interface ParsedObject {
  readonly key: Uint8Array
  readonly stored: StoredValue
}

/** Why an object cannot be read, or why that was not tried. */
export interface Finding {
  readonly kind: 'unreadable' | 'unproven'
  readonly why: string
  /** Of the error that Vault or a check before it returned. */
  readonly code?: ErrorCode | undefined
}

/** Tries what can be tried of a page of objects; results stand in the order of the objects. */
export interface Proof {
  check(objects: readonly ParsedObject[]): Promise<readonly (Finding | undefined)[]>
  /** Zeroes what is still held. */
  end(): void
}

/** The proof that needs nobody: what is not even an envelope cannot be read. */
export const shallowProof: Proof = {
  check: (objects) => Promise.resolve(objects.map(({ stored }) => findDamage(stored))),
  end: () => undefined,
}

export function findDamage(stored: StoredValue): Finding | undefined {
  return stored.kind === 'damaged' ? { kind: 'unreadable', why: stored.why } : undefined
}
