import type { Findings } from '../watch/findings.ts'

/** A plugin asks Vault again at most 4 s after a check that failed; a check takes seconds if Vault hangs. */
const MAX_MS = 8_000
const MIN_REFUSED = 10

/** Whether Status is honest: it does not stay ok while one Encrypt after the other is refused. */
export class RefusalStreak {
  readonly #name: string
  readonly #findings: Findings
  readonly #now: () => number
  #since = 0
  #refused = 0

  constructor(name: string, findings: Findings, now = () => performance.now()) {
    this.#name = name
    this.#findings = findings
    this.#now = now
  }

  noteEncrypt(outcome: 'refused' | 'other'): void {
    if (outcome === 'other') this.#refused = 0
    else if (this.#refused++ === 0) this.#since = this.#now()
  }

  noteStatus(healthz: string): void {
    if (healthz !== 'ok') this.#refused = 0
    const lastsMs = this.#now() - this.#since
    if (this.#refused < MIN_REFUSED || lastsMs < MAX_MS) return
    this.#refused = 0
    const text = `Status is ok although Encrypt has been refused for ${(lastsMs / 1000).toFixed(1)} s`
    this.#findings.add('Status', `${this.#name}: ${text}`)
  }
}
