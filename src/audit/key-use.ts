import type { Origin } from './call-ledger.ts'
import type { AuditEntry } from './entry.ts'
import { isRevealing } from './operation.ts'

/** One use of a key. */
export interface KeyUse {
  readonly time: string
  readonly mount: string
  readonly key: string
  readonly action: string
  /** "ok", "no answer", or Vault's error message. */
  readonly result: string
  readonly address: string
  readonly identity: string
  readonly origin: Origin
  readonly uids: readonly string[]
  /** Whether it may have returned something secret that no plugin in the logs asked for. */
  readonly isSuspicious: boolean
}

export function makeKeyUse(entry: AuditEntry, origin: Origin, result: string): KeyUse {
  const { time, mount, key, action, address, identity, uids } = entry
  const isSuspicious = origin.kind === 'unknown' && (isRevealing(entry) || origin.isRepeated)
  return { time, mount, key, action, result, address, identity, origin, uids, isSuspicious }
}

/** An origin as a table shows it. */
export function nameOrigin(origin: Origin): string {
  switch (origin.kind) {
    case 'plugin':
      return origin.node
    case 'check':
      return `${origin.node}'s own check`
    case 'verify':
      return 'verify'
    case 'unknown':
      return 'unknown caller'
  }
}
