import type { VaultOperation } from './request.ts'

/** Minimum time between two tries that leave because of silence: a Vault that is slow must not receive all requests twice. */
const LEAVE_GAP_MS = 100
/**
 * An answer shows that an earlier request is stuck only if that one had waited for this part of its patience when the answered one
 * began. Otherwise a login that takes a second would never end beside Decrypts that take milliseconds.
 */
const LEAD_SHARE = 2 / 3

/** A try in progress. */
export interface SilentTry {
  /** By {@link Clock.monotonic}. */
  readonly startedAt: number
  readonly patienceMs: number
  readonly operation: VaultOperation
  /** The patience of a first try, if its request is uniform. */
  readonly uniformPatienceMs?: number | undefined
  /** Ends it, so that its request is sent elsewhere. */
  leave(): void
}

/**
 * Decides when a request stops waiting for a node that does not answer. When the patience of tries ends, they leave one by one.
 * When a request is answered that began much later than others, the others leave at once: the node that they asked is stuck.
 */
export class Silence {
  readonly #tries = new Set<SilentTry>()
  #leftAt = -Infinity

  begin(one: SilentTry): void {
    this.#tries.add(one)
  }

  end(one: SilentTry): void {
    this.#tries.delete(one)
  }

  /** How many milliseconds a try whose patience has ended must wait until it may ask again; 0 if it leaves now. */
  takeTurn(now: number): number {
    const waitMs = this.#leftAt + LEAVE_GAP_MS - now
    if (waitMs > 0) return waitMs
    this.#leftAt = now
    return 0
  }

  /** A request of this operation that began at this time was answered. Returns whether others were stuck. */
  answered(operation: VaultOperation, startedAt: number): boolean {
    const stuck = [...this.#tries].filter(
      (one) => startedAt - one.startedAt >= patienceBeside(operation, one) * LEAD_SHARE,
    )
    for (const one of stuck) one.leave()
    return stuck.length > 0
  }
}

/**
 * Patience is longer after each silence, in case Vault is only slow. It is not slow if it answers a request that takes equally
 * long.
 */
function patienceBeside(answered: VaultOperation, one: SilentTry): number {
  const { operation, patienceMs, uniformPatienceMs = patienceMs } = one
  return operation === answered ? uniformPatienceMs : patienceMs
}
