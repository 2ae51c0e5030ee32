/**
 * What a fault means for a program: nothing that a caller notices; Vault cannot answer; Vault says no; or the program itself is
 * gone or stands still.
 */
export type Effect = 'none' | 'outage' | 'refusal' | 'down'

/** What must hold for a call: it succeeds, it succeeds with local keys alone, or only that a refusal has a reason. */
export type Promised = 'everything' | 'local keys' | 'a reason'

/** When a call began. */
export interface Mark {
  readonly promised: Promised
  readonly disturbed: number
  readonly weakened: number
}

/** Which faults concern a program now, and what its callers may expect of it. */
export class Condition {
  readonly #active: Effect[] = []
  #isSettled = false
  /** Whether all faults since it last worked were outages. */
  #hadOnlyOutages = false
  #disturbed = 0
  #weakened = 0
  #settledAt = 0

  begin(effect: Effect): void {
    if (effect === 'none') return
    this.#hadOnlyOutages = (this.#isSettled || this.#hadOnlyOutages) && effect === 'outage'
    this.#isSettled = false
    this.#active.push(effect)
    this.#disturbed += 1
    if (effect !== 'outage') this.#weakened += 1
  }

  end(effect: Effect): void {
    if (effect === 'none') return
    const at = this.#active.indexOf(effect)
    if (at === -1) throw new Error(`no such fault has begun: ${effect}`)
    this.#active.splice(at, 1)
  }

  get isQuiet(): boolean {
    return this.#active.length === 0
  }

  /** Whether it works, and no fault concerns it. */
  get isSettled(): boolean {
    return this.#isSettled
  }

  get settledForMs(): number {
    return this.#isSettled ? performance.now() - this.#settledAt : 0
  }

  has(effect: Effect): boolean {
    return this.#active.includes(effect)
  }

  /** It was seen to work. False if a fault has begun since `mark`. */
  settle({ disturbed }: Mark): boolean {
    if (!this.isQuiet || disturbed !== this.#disturbed) return false
    if (!this.#isSettled) this.#settledAt = performance.now()
    this.#isSettled = true
    return true
  }

  mark(): Mark {
    return { promised: this.#promised, disturbed: this.#disturbed, weakened: this.#weakened }
  }

  /** What must hold for a call that began at `mark` and ends now. */
  promisedSince(mark: Mark): Promised {
    const isUnchanged = mark.disturbed === this.#disturbed
    if (mark.promised === 'everything' && isUnchanged) return 'everything'
    const hadLocalKeys = mark.promised === 'everything' || mark.promised === 'local keys'
    return hadLocalKeys && mark.weakened === this.#weakened ? 'local keys' : 'a reason'
  }

  get #promised(): Promised {
    if (this.#isSettled) return 'everything'
    return this.#hadOnlyOutages ? 'local keys' : 'a reason'
  }
}
