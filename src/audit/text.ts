import { oneLine } from '../text/one-line.ts'
import type { KeyUse } from './join.ts'
import { nameOrigin, type AuditSummary, type UseCount } from './summary.ts'

const MAX_SHOWN = 200

/** A summary for people. */
export function formatAudit({ uses, suspicious, pluginCalls, ok }: AuditSummary): string {
  const sorted = uses.toSorted((one, other) => (describe(one) < describe(other) ? -1 : 1))
  return [
    ...sorted.map(formatCount),
    ...(pluginCalls === 0
      ? [
          'no file contains calls of a plugin, so nothing can be joined; plugins must log at level debug (log.level)',
        ]
      : []),
    ...suspicious.map((use) => `suspicious: ${formatUse(use)}`),
    ok
      ? 'a plugin asked for every use that reveals something'
      : `${String(suspicious.length)} suspicious: no plugin in these files asked for them`,
  ].join('\n')
}

/** One use in one line. */
export function formatUse(use: KeyUse): string {
  const { time, action, mount, key, result, address, identity, origin, uids } = use
  const who = identity === '' ? 'unknown identity' : identity
  const uid =
    uids[0] === undefined
      ? 'no uid'
      : `uid ${uids[0]}${uids.length > 1 ? ` and ${String(uids.length - 1)} more` : ''}`
  return `${time} ${action} ${mount}/${key} by ${oneLine(who, MAX_SHOWN)} from ${oneLine(address, MAX_SHOWN)} (${nameOrigin(origin)}, ${oneLine(uid, MAX_SHOWN)}): ${oneLine(result, MAX_SHOWN)}`
}

function formatCount(use: UseCount): string {
  const { count, first, last, result } = use
  const failed = result === 'ok' ? '' : ', failed'
  return `${describe(use)}: ${count.toLocaleString('en')}${failed}, from ${first} to ${last}`
}

function describe({ mount, key, action, from }: UseCount): string {
  return `${mount}/${key} ${action} by ${from}`
}
