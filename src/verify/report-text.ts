import type { Report, ResourceReport } from './report.ts'
import { escapeControls } from '../text/one-line.ts'
import { formatTable } from '../text/table.ts'
import type { NamedFinding } from './tally.ts'

/** Names shown of each list; the JSON has more. */
const SHOWN = 20
const SHOWN_KEY_ID = 16

/** The report for people: a table as kubectl prints them, what is wrong by name, and the verdict as the last line. */
export function formatReport(report: Report): string {
  const shown = report.resources.filter((each) => each.toBeEncrypted || each.unreadable > 0)
  return [
    formatHeading(report),
    '',
    ...formatResources(shown),
    '',
    ...formatOthers(report.resources.filter((each) => !shown.includes(each))),
    ...formatStale(shown),
    ...formatVersions(report),
    ...formatNames('plain', report.plain, shown.flatMap(plainFindings)),
    ...formatNames(
      'unreadable',
      report.unreadable,
      shown.flatMap((each) => each.unreadableKeys),
    ),
    ...formatNames(
      'not proven',
      report.unproven,
      shown.flatMap((each) => each.unprovenKeys),
    ),
    formatVerdict(report),
  ].join('\n')
}

function formatHeading({ source, prefix, revisions }: Report): string {
  const at = revisions.length === 0 ? '' : `, revision ${revisions.join(', then ')}`
  return `${source}, ${prefix}${at}`
}

const COLUMNS = ['RESOURCE', 'OBJECTS', 'PROVIDER', 'KEY VERSION', 'SEEDS', 'KEY ID']
const NUMBERS: ReadonlySet<number> = new Set([1, 3, 4])

function formatResources(resources: readonly ResourceReport[]): readonly string[] {
  const rows = resources.flatMap(({ resource, groups }) =>
    groups.length === 0
      ? [[resource, '0', '-', '-', '-', '-']]
      : groups.map(({ provider, objects, keyVersion, seeds, keyId }) => [
          resource,
          formatCount(objects),
          provider,
          String(keyVersion ?? '-'),
          seeds === 0 ? '-' : formatCount(seeds),
          keyId === undefined ? '-' : shorten(keyId),
        ]),
  )
  return formatTable([COLUMNS, ...rows], { alignRight: NUMBERS })
}

/** Key ids come from stored data: whatever is in them must not reach a terminal. */
function shorten(keyId: string): string {
  const clean = escapeControls(keyId)
  return clean.length <= SHOWN_KEY_ID ? clean : `${clean.slice(0, SHOWN_KEY_ID)}…`
}

function formatOthers(resources: readonly ResourceReport[]): readonly string[] {
  if (resources.length === 0) return []
  const objects = resources.reduce((sum, each) => sum + each.objects, 0)
  const names = resources.map((each) => `${each.resource} ${formatCount(each.objects)}`).join(', ')
  return [
    `not meant to be encrypted: ${count(objects, 'object')} of ${count(resources.length, 'resource')} (${names})`,
  ]
}

function formatStale(resources: readonly ResourceReport[]): readonly string[] {
  const stale = resources.filter(({ otherProvider = 0 }) => otherProvider > 0)
  if (stale.length === 0) return []
  const names = stale.map((each) => `${each.resource} ${formatCount(each.otherProvider ?? 0)}`)
  return [`encrypted, but not by the provider that writes now: ${names.join(', ')}`]
}

function formatVersions({ keyVersionsNeeded }: Report): readonly string[] {
  return keyVersionsNeeded.map(({ provider, versions }) => {
    const oldest = versions.at(-1) ?? 0
    return `transit key versions needed by ${escapeControls(provider)}: ${versions.join(', ')}; the oldest is ${String(oldest)}, and older backups may need older ones`
  })
}

function plainFindings({ plainKeys }: ResourceReport): readonly NamedFinding[] {
  return plainKeys.map((key) => ({ key, why: '' }))
}

function formatNames(
  title: string,
  total: number,
  names: readonly NamedFinding[],
): readonly string[] {
  if (total === 0) return []
  const lines = names
    .slice(0, SHOWN)
    .map(
      ({ key, why }) => `  ${escapeControls(key)}${why === '' ? '' : `: ${escapeControls(why)}`}`,
    )
  const rest = total - lines.length
  return [`${title}:`, ...lines, ...(rest > 0 ? [`  and ${formatCount(rest)} more`] : [])]
}

function formatVerdict({ ok, objects, plain, unreadable, unproven, depth }: Report): string {
  if (ok)
    return `ok: ${count(objects, 'object')} read, none plain that should not be, ${PROVEN[depth]}`
  const faults = [
    plain > 0 ? `${formatCount(plain)} plain` : '',
    unreadable > 0 ? `${formatCount(unreadable)} unreadable` : '',
    unproven > 0 ? `${formatCount(unproven)} not proven` : '',
  ].filter((fault) => fault !== '')
  return `NOT ok: of ${count(objects, 'object')} ${faults.join(', ')}`
}

const PROVEN: Readonly<Record<Report['depth'], string>> = {
  envelopes: 'every envelope whole (--deep proves that they can be opened)',
  sources: 'every seed decrypted (--objects proves each object)',
  objects: 'every seed and every object decrypted',
}

function count(number: number, thing: string): string {
  return `${formatCount(number)} ${thing}${number === 1 ? '' : 's'}`
}

function formatCount(number: number): string {
  return number.toLocaleString('en')
}
