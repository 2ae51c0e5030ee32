import type { DatabaseSync, StatementSync } from 'node:sqlite'

import { MAX_PROOF_VALUES } from '../kms/proof.ts'
import { VALUES_HIDDEN, type AuditEntry } from './entry.ts'
import type { PluginCall } from './plugin-call.ts'

/** Who sent a request to Vault, as far as the logs show. */
export type Origin =
  /** A plugin, for a call in its log; `node` is the name of that log. */
  | { readonly kind: 'plugin'; readonly node: string }
  /** A plugin, for its own check of the key. */
  | { readonly kind: 'check'; readonly node: string }
  /** A run of `transit-bridge verify` that the operator named. */
  | { readonly kind: 'verify' }
  /** Not in the logs; `why` says what is missing or wrong. */
  | {
      readonly kind: 'unknown'
      readonly why: string
      /** Whether the call of its uid was claimed more often than its plugin sent requests, so one of them is a copy. */
      readonly isRepeated: boolean
    }

/** Calls that Vault answered, by the logs of plugins, and that no audit file shows. */
export interface UnrecordedCalls {
  readonly count: number
  /** The time of the first one; empty if there is none. */
  readonly first: string
  readonly last: string
}

/**
 * The calls in the plugins' logs, with the number of requests that each may have caused. Add all calls first.
 */
export class CallLedger {
  readonly #nodes: string[] = []
  readonly #keys = new Map<string, number>()
  readonly #add: StatementSync
  readonly #find: StatementSync
  readonly #take: StatementSync
  readonly #unrecorded: StatementSync
  readonly #verifyRuns: ReadonlySet<string>
  #calls = 0

  /** `verifyRuns`: uids of runs of `verify` that the operator knows of. */
  constructor(database: DatabaseSync, verifyRuns: readonly string[]) {
    this.#verifyRuns = new Set(verifyRuns)
    database.exec(`
      CREATE TABLE calls (
        uid TEXT, method TEXT, key INTEGER, time TEXT, late INTEGER, node INTEGER, requests INTEGER,
        expected INTEGER, PRIMARY KEY (uid, method, key, time, late)
      ) WITHOUT ROWID`)
    this.#add = database.prepare(
      // A line that is in two files (a copy, a rotation by copying) counts once.
      'INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
    )
    this.#find = database.prepare(
      'SELECT method, key, time, late, node, requests FROM calls WHERE uid = ?',
    )
    this.#unrecorded = database.prepare(
      'SELECT count(*) AS count, min(time) AS first, max(time) AS last FROM calls WHERE expected = 1',
    )
    this.#take = database.prepare(
      'UPDATE calls SET requests = requests - 1, expected = 0 WHERE uid = ? AND method = ? AND key = ? AND time = ? AND late = ?',
    )
  }

  /** Number of calls in the plugins' logs, without their own checks. */
  get calls(): number {
    return this.#calls
  }

  /** `node`: the name of the log. `isExpected`: whether the audit files must have an entry for the call. */
  addCall(node: string, call: PluginCall, isExpected: boolean): void {
    const { uid, method, key, time, late, requests } = call
    if (this.#nodes.at(-1) !== node) this.#nodes.push(node)
    if (method !== 'Check' && late === 0) this.#calls += 1
    const index = this.#nodes.length - 1
    const expected = isExpected ? 1 : 0
    this.#add.run(uid, method, this.#numberOf(key), time, late, index, requests, expected)
  }

  /** The expected calls that no entry was for. Call it after all entries were claimed. */
  get unrecorded(): UnrecordedCalls {
    const row = this.#unrecorded.get() as { count: number; first: string; last: string } | undefined
    return { count: row?.count ?? 0, first: row?.first ?? '', last: row?.last ?? '' }
  }

  /**
   * Finds who sent a request. Each request uses up one of those that its calls may have sent, no matter what it does, so
   * that a uid that was copied from a log stands out, whichever came first.
   */
  claim(entry: AuditEntry): Origin {
    const { uids } = entry
    const [first] = uids
    if (first === undefined) return unknown('it has no uid')
    if (uids.length === 1 && this.#verifyRuns.has(first)) return { kind: 'verify' }
    const calls: FoundCall[] = []
    for (const uid of uids) {
      const call = this.#match(uid, entry)
      if ('why' in call) return call
      this.#take.run(uid, call.method, call.key, call.time, call.late)
      calls.push(call)
    }
    // A request that reads the key has no values.
    if (entry.action === 'read') return this.#fromPlugin(calls[0])
    if (entry.values > maxValues(calls[0], entry))
      return unknown(
        entry.values === VALUES_HIDDEN
          ? 'its entry does not show how many values it has'
          : 'it has more values than uids',
      )
    return this.#fromPlugin(calls[0])
  }

  #fromPlugin(call: FoundCall | undefined): Origin {
    const node = this.#nodes[call?.node ?? 0] ?? ''
    return { kind: call?.method === 'Check' ? 'check' : 'plugin', node }
  }

  /** The call that a request was made for, or why there is none. */
  #match(uid: string, entry: AuditEntry): FoundCall | Unknown {
    const calls = this.#find.all(uid) as unknown as FoundCall[]
    if (calls.length === 0) return unknown(explainStranger(uid))
    const key = this.#keys.get(`${entry.mount}/${entry.key}`)
    const ofKey = calls.filter((call) => call.key === key)
    if (ofKey.length === 0)
      return unknown(
        calls.some((call) => call.key === this.#keys.get(''))
          ? 'the log with its uid names no key; it is from an older plugin'
          : 'the plugin that logged its uid uses another key',
      )
    const ofMethod = ofKey.filter((call) => mayCause(call.method, entry))
    if (ofMethod.length === 0)
      return unknown(
        `the plugin logged its uid for ${ofKey.map(({ method }) => method).join(' and ')}`,
      )
    return (
      ofMethod.find((call) => call.requests > 0) ??
      // A copied uid of an Encrypt hides nothing: only uids of other calls make the use suspicious.
      unknown(
        'its uid occurs more often than the plugin sent it',
        ofMethod.some(({ method }) => method !== 'Encrypt'),
      )
    )
  }

  #numberOf(key: string): number {
    const known = this.#keys.get(key)
    if (known !== undefined) return known
    this.#keys.set(key, this.#keys.size)
    return this.#keys.size - 1
  }
}

type Unknown = Extract<Origin, { readonly kind: 'unknown' }>

interface FoundCall {
  readonly method: PluginCall['method']
  readonly key: number
  readonly time: string
  readonly late: number
  readonly node: number
  readonly requests: number
}

/**
 * A plugin's own check has one uid for all of its values; each value of a call has its own, and so has a new local key that shares
 * the batch of calls.
 */
function maxValues(call: FoundCall | undefined, { action, uids }: AuditEntry): number {
  if (call?.method !== 'Check' || uids.length > 1) return uids.length
  return action === 'encrypt' || action === 'decrypt' ? MAX_PROOF_VALUES[action] : 0
}

/** Every call may make the plugin read its key. */
function mayCause(method: PluginCall['method'], { action }: AuditEntry): boolean {
  if (action === 'read') return true
  if (action === 'encrypt') return method !== 'Decrypt'
  return action === 'decrypt' && method !== 'Encrypt'
}

/** Commands that decrypt under the plugin's identity, by the start of their uid. */
const OPERATOR_RUNS = [
  ['verify-', 'verify'],
  ['escrow-', 'escrow create'],
] as const

function explainStranger(uid: string): string {
  for (const [prefix, command] of OPERATOR_RUNS)
    if (uid.startsWith(prefix))
      return `it claims to be a run of ${command}; if you ran it, pass its uid with --verify-run`
  if (uid.startsWith('check-'))
    return "it claims to be a plugin's own check, and no plugin logged it"
  return 'no plugin logged its uid'
}

function unknown(why: string, isRepeated = false): Unknown {
  return { kind: 'unknown', why, isRepeated }
}
