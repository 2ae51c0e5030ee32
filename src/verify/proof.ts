import type { ErrorCode } from '../errors.ts'
import type { StoredValue } from '../storage/stored-value.ts'

/** An object with its parsed value. */
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

/** Tries to decrypt the objects of a page; the results are in the order of the objects. */
export interface Proof {
  check(objects: readonly ParsedObject[]): Promise<readonly (Finding | undefined)[]>
  /** Zeroes the plaintext that is still in memory. */
  end(): void
}

/** Checks envelopes only, which needs no key. */
export const shallowProof: Proof = {
  check: (objects) => Promise.resolve(objects.map(({ stored }) => findDamage(stored))),
  end: () => undefined,
}

/** Why an object of a provider such as aescbc is not proved, and what to do. */
export function explainLocalProvider({ scheme }: Extract<StoredValue, { kind: 'local' }>): Finding {
  return {
    kind: 'unproven',
    why: `its ${scheme} key is only in the EncryptionConfiguration; keep a copy of that file, or encrypt the object with the plugin (transit-bridge rewrite)`,
  }
}

export function findDamage(stored: StoredValue): Finding | undefined {
  return stored.kind === 'damaged' ? { kind: 'unreadable', why: stored.why } : undefined
}
