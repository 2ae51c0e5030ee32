import type { AuditEntry, KeyAction } from './entry.ts'
import type { PluginCall } from './plugin-call.ts'

/** Who asked Vault for something, as far as the logs tell. */
export type Origin =
  /** A plugin, for a call that its log has; `node` is the name of that log. */
  | { readonly kind: 'plugin'; readonly node: string }
  /** By its uid a check that a plugin makes by itself; believed only from an address of a plugin. */
  | { readonly kind: 'check' }
  /** By its uid a run of `verify`, `doctor` or the like. */
  | { readonly kind: 'command'; readonly command: string }
  /** Nothing that the logs know. */
  | { readonly kind: 'unknown' }

/** One use of a key. */
export interface KeyUse {
  readonly time: string
  readonly mount: string
  readonly key: string
  readonly action: KeyAction
  /** "ok", "no answer", or Vault's words. */
  readonly result: string
  readonly address: string
  readonly identity: string
  readonly origin: Origin
  readonly uids: readonly string[]
}

/** Actions that give away what was encrypted, or the key itself. */
export const SENSITIVE: ReadonlySet<KeyAction> = new Set<KeyAction>([
  'decrypt',
  'rewrap',
  'datakey',
  'export',
  'backup',
])
const OWN_CHECK = /^check-[0-9a-f-]{36}$/
const COMMAND = /^(verify|doctor|rotate|round-trip)-[0-9a-f-]{36}$/
/** Requests without an answer yet; an audit file of a crash loop must not fill the memory. */
const MOST_OPEN = 100_000

/** Joins what Vault wrote to what plugins wrote, by uid. First all calls of plugins, then the audit entries in order. */
export class AuditJoin {
  readonly #nodes: string[] = []
  readonly #calls = new Map<string, number>()
  readonly #open = new Map<string, AuditEntry>()
  readonly #pluginAddresses = new Set<string>()

  /** Calls of plugins that are known. */
  get calls(): number {
    return this.#calls.size
  }

  addCall(node: string, { uid }: PluginCall): void {
    let index = this.#nodes.lastIndexOf(node)
    if (index < 0) index = this.#nodes.push(node) - 1
    this.#calls.set(uid, index)
  }

  /** The use that an entry completes; undefined for the first half of one. */
  addEntry(entry: AuditEntry): KeyUse | undefined {
    if (entry.type === 'request' && entry.error === undefined) {
      if (this.#open.size < MOST_OPEN) this.#open.set(entry.id, entry)
      return undefined
    }
    this.#open.delete(entry.id)
    return this.#complete(entry, entry.error ?? 'ok')
  }

  /** Uses that were asked for and have no answer in the files. */
  end(): readonly KeyUse[] {
    const uses = [...this.#open.values()].map((entry) => this.#complete(entry, 'no answer'))
    this.#open.clear()
    return uses
  }

  /** Whether a use gives something away that no plugin asked for. To be asked when all entries were added. */
  standsOut({ action, origin, address }: KeyUse): boolean {
    if (!SENSITIVE.has(action)) return false
    if (origin.kind === 'check') return !this.#pluginAddresses.has(address)
    // A uid that looks like one of a command proves nothing: it is for the reader to know whether that was run.
    return origin.kind !== 'plugin'
  }

  #complete(entry: AuditEntry, result: string): KeyUse {
    const { time, mount, key, action, address, identity, uids } = entry
    const origin = this.#originOf(uids)
    if (origin.kind === 'plugin') this.#pluginAddresses.add(address)
    return { time, mount, key, action, result, address, identity, origin, uids }
  }

  /** Of a batch every call must be a plugin's own. */
  #originOf(uids: readonly string[]): Origin {
    const nodes = uids.map((uid) => this.#nodes[this.#calls.get(uid) ?? -1])
    const [node] = nodes
    if (node !== undefined && !nodes.includes(undefined)) return { kind: 'plugin', node }
    const [first = ''] = uids
    if (uids.length === 1 && OWN_CHECK.test(first)) return { kind: 'check' }
    const command = uids.length === 1 ? COMMAND.exec(first)?.[1] : undefined
    return command === undefined ? { kind: 'unknown' } : { kind: 'command', command }
  }
}
