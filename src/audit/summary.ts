import { SENSITIVE, type AuditJoin, type KeyUse, type Origin } from './join.ts'

/** The number of uses of one kind. */
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

/** The result of `audit`. Its field names are those of the JSON output and must not change. */
export interface AuditSummary {
  /** Whether nothing is suspicious. */
  readonly ok: boolean
  readonly uses: readonly UseCount[]
  /** Uses that reveal something and that no plugin asked for: the first ones from each address. */
  readonly suspicious: readonly KeyUse[]
  /** Number of calls in the plugins' logs. 0: the plugins do not log at level debug, so nothing can be joined. */
  readonly pluginCalls: number
}

/** Kept for each address until the end, because only then are the addresses of all plugins known. */
const MAX_KEPT = 200
const MAX_ADDRESSES = 1_000

/** Counts uses. Its memory grows with the number of keys, nodes and addresses, not with the number of uses. */
export class AuditTally {
  readonly #counts = new Map<string, { -readonly [K in keyof UseCount]: UseCount[K] }>()
  readonly #suspects = new Map<string, KeyUse[]>()

  add(use: KeyUse): void {
    this.#count(use)
    if (use.origin.kind === 'plugin' || !SENSITIVE.has(use.action)) return
    const id = `${use.origin.kind} ${use.address}`
    const kept = this.#suspects.get(id) ?? []
    if (kept.length < MAX_KEPT && this.#suspects.size < MAX_ADDRESSES) kept.push(use)
    this.#suspects.set(id, kept)
  }

  summarize(join: AuditJoin): AuditSummary {
    const suspicious = [...this.#suspects.values()]
      .flat()
      .filter((use) => join.isSuspicious(use))
      .toSorted((one, other) => (one.time < other.time ? -1 : 1))
    return {
      ok: suspicious.length === 0,
      uses: [...this.#counts.values()],
      suspicious,
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
    case 'verify':
      return 'claims to be verify'
    case 'unknown':
      return 'unknown caller'
  }
}
