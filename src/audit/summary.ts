import { SENSITIVE, type AuditJoin, type KeyUse, type Origin } from './join.ts'

/** Uses of one kind, counted. */
export interface UseCount {
  readonly mount: string
  readonly key: string
  readonly action: string
  readonly from: string
  readonly result: 'ok' | 'failed'
  readonly count: number
  readonly first: string
  readonly last: string
}

/** What `audit` answers; this is also its JSON, so names stay. */
export interface AuditSummary {
  /** Whether nothing stands out. */
  readonly ok: boolean
  readonly uses: readonly UseCount[]
  /** Uses that give something away and that no plugin asked for: the first ones of each address. */
  readonly standingOut: readonly KeyUse[]
  /** Calls that plugins logged; 0 means that they log less than debug, and nothing can be joined. */
  readonly pluginCalls: number
}

/** Of each address; what a check is worth shows only at the end, so they are kept until then. */
const KEPT = 200
const MOST_ADDRESSES = 1_000

/** Counts uses. Its memory grows with the number of keys, nodes and addresses, not of uses. */
export class AuditTally {
  readonly #counts = new Map<string, { -readonly [K in keyof UseCount]: UseCount[K] }>()
  readonly #suspects = new Map<string, KeyUse[]>()

  add(use: KeyUse): void {
    this.#count(use)
    if (use.origin.kind === 'plugin' || !SENSITIVE.has(use.action)) return
    const id = `${use.origin.kind} ${use.address}`
    const kept = this.#suspects.get(id) ?? []
    if (kept.length < KEPT && this.#suspects.size < MOST_ADDRESSES) kept.push(use)
    this.#suspects.set(id, kept)
  }

  summarize(join: AuditJoin): AuditSummary {
    const standingOut = [...this.#suspects.values()]
      .flat()
      .filter((use) => join.standsOut(use))
      .toSorted((one, other) => (one.time < other.time ? -1 : 1))
    return {
      ok: standingOut.length === 0,
      uses: [...this.#counts.values()],
      standingOut,
      pluginCalls: join.calls,
    }
  }

  #count({ mount, key, action, origin, result, time }: KeyUse): void {
    const from = nameOrigin(origin)
    const outcome = result === 'ok' ? ('ok' as const) : ('failed' as const)
    const id = [mount, key, action, from, outcome].join('\0')
    const known = this.#counts.get(id)
    if (known === undefined) {
      this.#counts.set(id, {
        mount,
        key,
        action,
        from,
        result: outcome,
        count: 1,
        first: time,
        last: time,
      })
      return
    }
    known.count += 1
    known.last = time
  }
}

/** An origin as a table shows it. */
export function nameOrigin(origin: Origin): string {
  switch (origin.kind) {
    case 'plugin':
      return origin.node
    case 'check':
      return "a plugin's own check"
    case 'command':
      return `says it is ${origin.command}`
    case 'unknown':
      return 'nobody known'
  }
}
