/** Only so many are kept of each kind; the count goes on. */
const KEPT = 20

export interface Finding {
  readonly kind: FindingKind
  readonly message: string
  /** Seconds since the start of the run. */
  readonly atSeconds: number
}

export const FINDING_KINDS = [
  'wrong plaintext',
  'plaintext for changed data',
  'lost ciphertext',
  'key id',
  'call',
  'reason',
  'Status',
  'Mount',
  'recovery',
  'process',
  'log',
  'secret',
  'leak',
  'soak',
] as const
export type FindingKind = (typeof FINDING_KINDS)[number]

/** What was not as it must be. Empty at the end of a run that proved everything. */
export class Findings {
  readonly #kept: Finding[] = []
  readonly #counts = new Map<FindingKind, number>()
  readonly #startedAt = performance.now()
  readonly #onFinding: (finding: Finding) => void

  constructor(onFinding: (finding: Finding) => void = () => undefined) {
    this.#onFinding = onFinding
  }

  add(kind: FindingKind, message: string): void {
    const count = (this.#counts.get(kind) ?? 0) + 1
    this.#counts.set(kind, count)
    if (count > KEPT) return
    const atSeconds = Math.round((performance.now() - this.#startedAt) / 1000)
    const finding = { kind, message, atSeconds }
    this.#kept.push(finding)
    this.#onFinding(finding)
  }

  get kept(): readonly Finding[] {
    return this.#kept
  }

  count(kind: FindingKind): number {
    return this.#counts.get(kind) ?? 0
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0)
  }
}
