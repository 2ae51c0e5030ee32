import { escapeControls, oneLine } from '../text/one-line.ts'
import type { AuditSummary } from './audit.ts'
import type { FileReading } from './file-reading.ts'
import { nameOrigin, type KeyUse } from './key-use.ts'
import type { UseCount } from './use-tally.ts'

const MAX_LENGTH = 200
/** Maximum number of suspicious uses in text; the JSON output has more. */
const MAX_SHOWN = 200

/** A summary for people. */
export function formatAudit(summary: AuditSummary): string {
  const { uses, suspicious, suspiciousCount, files } = summary
  const sorted = uses.toSorted((one, other) => (describe(one) < describe(other) ? -1 : 1))
  const hidden = suspiciousCount - Math.min(suspicious.length, MAX_SHOWN)
  return [
    ...sorted.map(formatCount),
    ...formatScope(summary),
    ...suspicious.slice(0, MAX_SHOWN).map((use) => `suspicious: ${formatUse(use)}`),
    ...(hidden > 0 ? [`and ${hidden.toLocaleString('en')} more; --events prints all`] : []),
    ...files.flatMap(formatProblems),
    ...formatMissing(summary),
    conclude(summary),
  ].join('\n')
}

/** Which calls of plugins need an entry, if not all, and whether there are any. */
function formatScope({ since, until, comparedCalls }: AuditSummary): readonly string[] {
  const from = since === undefined ? '' : ` from ${since}`
  const to = until === undefined ? '' : ` to ${until}`
  const time = from + to
  return [
    ...(time === '' ? [] : [`only calls${time} need an entry`]),
    ...(comparedCalls > 0
      ? []
      : [
          `no file contains calls of a plugin for this key${time}, so a missing audit file would not be noticed; pass the logs of all plugins, at level debug (log.level)`,
        ]),
  ]
}

/** What only a missing file explains. */
function formatMissing({ unrecordedCalls, responsesAlone }: AuditSummary): readonly string[] {
  const { count, first, last } = unrecordedCalls
  const calls =
    `missing: ${count.toLocaleString('en')} ${count === 1 ? 'call that Vault answered has no entry' : 'calls that Vault answered have no entry'}, from ${oneLine(first, MAX_LENGTH)} to ${oneLine(last, MAX_LENGTH)}; ` +
    'pass the audit files of every Vault node for that time, or exclude those calls with --since and --until'
  const halves = `missing: ${responsesAlone.toLocaleString('en')} ${responsesAlone === 1 ? 'response has no request' : 'responses have no request'}; pass the preceding audit file, too`
  return [...(count > 0 ? [calls] : []), ...(responsesAlone > 0 ? [halves] : [])]
}

function conclude({ suspiciousCount, files, ...missing }: AuditSummary): string {
  const unread = files.reduce((sum, file) => sum + file.unread, 0)
  const gaps = files.filter(({ isUseless }) => isUseless).length
  const parts = [
    ...(suspiciousCount > 0
      ? [
          `${suspiciousCount.toLocaleString('en')} suspicious: no plugin in these files asked for them`,
        ]
      : []),
    ...(unread > 0
      ? [`${unread.toLocaleString('en')} ${unread === 1 ? 'line was' : 'lines were'} not read`]
      : []),
    ...(missing.unrecordedCalls.count + missing.responsesAlone > 0
      ? ['an audit file is missing']
      : []),
    ...(gaps > 0 ? [`${String(gaps)} of the files cannot be used`] : []),
    ...(missing.comparedCalls === 0 ? ['there are no calls of a plugin to compare with'] : []),
  ]
  return parts.length === 0
    ? 'a plugin asked for every use that returns something secret'
    : `NOT ok: ${parts.join('; ')}`
}

function formatProblems({ path, unread, problems, isUseless }: FileReading): readonly string[] {
  const name = escapeControls(path)
  const rest = unread - problems.length
  return [
    ...problems.map(
      ({ line, why }) =>
        `not read: ${name}, line ${line.toLocaleString('en')}: ${oneLine(why, MAX_LENGTH)}`,
    ),
    ...(rest > 0 ? [`not read: ${name}: ${rest.toLocaleString('en')} more lines`] : []),
    ...(isUseless
      ? [`${name}: contains neither entries of a Vault audit file nor log lines of a plugin`]
      : []),
  ]
}

/** One use in one line. */
export function formatUse(use: KeyUse): string {
  const { time, action, mount, key, result, address, identity, uids } = use
  const who = identity === '' ? 'unknown identity' : identity
  const what = `${time} ${action} ${mount}/${key} by ${oneLine(who, MAX_LENGTH)} from ${address}`
  return oneLine(`${what} (${explainOrigin(use)}${formatUids(uids)}): ${result}`, 4 * MAX_LENGTH)
}

function explainOrigin({ origin }: KeyUse): string {
  return origin.kind === 'unknown' ? `unknown caller: ${origin.why}` : nameOrigin(origin)
}

function formatUids([first, ...others]: readonly string[]): string {
  if (first === undefined) return ''
  const more = others.length === 0 ? '' : ` and ${String(others.length)} more`
  return `, uid ${oneLine(first, MAX_LENGTH)}${more}`
}

function formatCount(use: UseCount): string {
  const { count, first, last, result } = use
  const failed = result === 'ok' ? '' : ', failed'
  return `${describe(use)}: ${count.toLocaleString('en')}${failed}, from ${oneLine(first, MAX_LENGTH)} to ${oneLine(last, MAX_LENGTH)}`
}

function describe({ mount, key, action, from }: UseCount): string {
  return `${oneLine(`${mount}/${key}`, MAX_LENGTH)} ${oneLine(action, MAX_LENGTH)} by ${escapeControls(from)}`
}
