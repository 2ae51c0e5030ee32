import type { AuditEntry, KeyAction } from './entry.ts'
import type { PluginCall } from './plugin-call.ts'

/** Who sent a request to Vault, as far as the logs show. */
export type Origin =
  /** A plugin, for a call in its log; `node` is the name of that log. */
  | { readonly kind: 'plugin'; readonly node: string }
  /** According to its uid, a plugin's own check of the key; trusted only from the address of a plugin. */
  | { readonly kind: 'check' }
  /** According to its uid, a run of `transit-bridge verify`. */
  | { readonly kind: 'verify' }
  /** Not in the logs. */
  | { readonly kind: 'unknown' }

/** One use of a key. */
export interface KeyUse {
  readonly time: string
  readonly mount: string
  readonly key: string
  readonly action: KeyAction
  /** "ok", "no answer", or Vault's error message. */
  readonly result: string
  readonly address: string
  readonly identity: string
  readonly origin: Origin
  readonly uids: readonly string[]
}

/** Actions that reveal what was encrypted, or the key itself. */
export const SENSITIVE: ReadonlySet<KeyAction> = new Set<KeyAction>([
  'decrypt',
  'rewrap',
  'datakey',
  'export',
  'backup',
])
/** The uid of a plugin's own check (kms/key-watch.ts). */
const CHECK_UID = /^check-[0-9a-f-]{36}$/
/** The uid of a run of verify, also by rotate and drill backup (commands/verify.ts). */
const VERIFY_UID = /^verify-[0-9a-f-]{36}$/
/** Requests without a response so far. A Vault that crashes again and again must not fill the memory. */
const MAX_OPEN = 100_000

/** Joins Vault's audit entries with plugins' calls by uid. Add all calls first, then the audit entries in order. */
export class AuditJoin {
  readonly #nodes: string[] = []
  readonly #calls = new Map<string, number>()
  readonly #open = new Map<string, AuditEntry>()
  readonly #pluginAddresses = new Set<string>()

  /** Number of distinct calls in the plugins' logs. */
  get calls(): number {
    return this.#calls.size
  }

  addCall(node: string, { uid }: PluginCall): void {
    let index = this.#nodes.lastIndexOf(node)
    if (index < 0) index = this.#nodes.push(node) - 1
    this.#calls.set(uid, index)
  }

  /** The use that an entry completes; undefined for a request whose response is still to come. */
  addEntry(entry: AuditEntry): KeyUse | undefined {
    if (entry.type === 'request' && entry.error === undefined) {
      if (this.#open.size < MAX_OPEN) this.#open.set(entry.id, entry)
      return undefined
    }
    this.#open.delete(entry.id)
    return this.#complete(entry, entry.error ?? 'ok')
  }

  /** Uses whose response is not in the files. */
  end(): readonly KeyUse[] {
    const uses = [...this.#open.values()].map((entry) => this.#complete(entry, 'no answer'))
    this.#open.clear()
    return uses
  }

  /** Whether a use reveals something that no plugin asked for. Call it after all entries were added. */
  isSuspicious({ action, origin, address }: KeyUse): boolean {
    if (!SENSITIVE.has(action)) return false
    if (origin.kind === 'check') return !this.#pluginAddresses.has(address)
    // Anyone can send a uid that looks like one of verify: only the operator knows whether it was run.
    return origin.kind !== 'plugin'
  }

  #complete(entry: AuditEntry, result: string): KeyUse {
    const { time, mount, key, action, address, identity, uids } = entry
    const origin = this.#originOf(uids)
    if (origin.kind === 'plugin') this.#pluginAddresses.add(address)
    return { time, mount, key, action, result, address, identity, origin, uids }
  }

  /** A batch belongs to a plugin only if every call in it does. */
  #originOf(uids: readonly string[]): Origin {
    const nodes = uids.map((uid) => this.#nodes[this.#calls.get(uid) ?? -1])
    const [node] = nodes
    if (node !== undefined && !nodes.includes(undefined)) return { kind: 'plugin', node }
    const [first = ''] = uids
    if (uids.length !== 1) return { kind: 'unknown' }
    if (CHECK_UID.test(first)) return { kind: 'check' }
    return VERIFY_UID.test(first) ? { kind: 'verify' } : { kind: 'unknown' }
  }
}
