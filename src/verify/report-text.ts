import type { Report, ResourceReport } from './report.ts'
import { describeCount } from '../text/count.ts'
import { escapeControls } from '../text/one-line.ts'
import { formatTable } from '../text/table.ts'
import { describeDeletion } from './deletion.ts'
import { listFaults } from './verdict.ts'
import type { NamedFinding } from './tally.ts'

/** Keys shown of each list; the JSON has more. */
const MAX_SHOWN = 20
const MAX_KEY_ID_LENGTH = 16

/** The report for people: a table, the keys with problems, and the verdict as the last line. */
export function formatReport(report: Report): string {
  const shown = report.resources.filter(
    (each) =>
      each.toBeEncrypted ||
      each.unreadable > 0 ||
      each.unproven > 0 ||
      (each.withoutProvider ?? 0) > 0,
  )
  return [
    formatHeading(report),
    '',
    ...formatResources(shown),
    '',
    ...formatOthers(report.resources.filter((each) => !shown.includes(each))),
    ...formatStale(shown),
    ...formatWithoutProvider(shown),
    ...formatVersions(report),
    ...formatLocalKeys(report),
    ...formatUid(report),
    ...formatSealedFile(report),
    ...formatNames('plaintext', report.plain, shown.flatMap(plainFindings)),
    ...formatNames(
      'unreadable',
      report.unreadable,
      shown.flatMap((each) => each.unreadableKeys),
    ),
    ...describeDeletion(report),
    ...formatNames(
      'not proved',
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

function shorten(keyId: string): string {
  return keyId.length <= MAX_KEY_ID_LENGTH ? keyId : `${keyId.slice(0, MAX_KEY_ID_LENGTH)}…`
}

function formatOthers(resources: readonly ResourceReport[]): readonly string[] {
  if (resources.length === 0) return []
  const objects = resources.reduce((sum, each) => sum + each.objects, 0)
  const names = resources
    .map((each) => `${escapeControls(each.resource)} ${formatCount(each.objects)}`)
    .join(', ')
  return [
    `not required to be encrypted: ${describeCount(objects, 'object')} of ${describeCount(resources.length, 'resource')} (${names})`,
  ]
}

function formatStale(resources: readonly ResourceReport[]): readonly string[] {
  const stale = resources.filter(({ otherProvider = 0 }) => otherProvider > 0)
  if (stale.length === 0) return []
  const names = stale.map((each) => `${each.resource} ${formatCount(each.otherProvider ?? 0)}`)
  return [`encrypted by a provider other than the one that writes: ${names.join(', ')}`]
}

/** Data that API servers fail to read as soon as they use this EncryptionConfiguration. */
function formatWithoutProvider(resources: readonly ResourceReport[]): readonly string[] {
  const found = resources.filter(({ withoutProvider = 0 }) => withoutProvider > 0)
  if (found.length === 0) return []
  const names = found.map(
    (each) => `${escapeControls(each.resource)} ${formatCount(each.withoutProvider ?? 0)}`,
  )
  return [`no provider of --encryption-config can read: ${names.join(', ')}`]
}

function formatVersions({ keyVersionsNeeded }: Report): readonly string[] {
  return keyVersionsNeeded.map(({ provider, versions }) => {
    const oldest = versions.at(-1) ?? 0
    return `transit key versions needed by ${escapeControls(provider)}: ${versions.join(', ')}; the oldest is ${String(oldest)}, and older etcd snapshots may need older versions`
  })
}

/** An API server that starts without Vault must decrypt every Secret before it becomes ready. */
function formatLocalKeys({ localKeys }: Report): readonly string[] {
  if (localKeys === undefined) return []
  const { objects, of } = localKeys
  const rest =
    objects === of
      ? ''
      : `; API servers need Vault to start until the other ${formatCount(of - objects)} are, too: run transit-bridge rotate`
  return [`under local keys: ${formatCount(objects)} of ${formatCount(of)} objects${rest}`]
}

/** What --verify-run of audit takes. */
function formatUid({ vaultUid }: Report): readonly string[] {
  return vaultUid === undefined
    ? []
    : [`uid of its requests in Vault's audit log: ${vaultUid} (transit-bridge audit --verify-run)`]
}

function formatSealedFile({ sealedFile }: Report): readonly string[] {
  if (sealedFile === undefined) return []
  const { file, localKeys, usableUntil } = sealedFile
  return [
    `sealed file: ${escapeControls(file)}, ${describeCount(localKeys, 'local key')}; the plugin can start from it until ${usableUntil}, and longer if Vault answers before`,
  ]
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
    .slice(0, MAX_SHOWN)
    .map(
      ({ key, why }) => `  ${escapeControls(key)}${why === '' ? '' : `: ${escapeControls(why)}`}`,
    )
  const rest = total - lines.length
  return [`${title}:`, ...lines, ...(rest > 0 ? [`  and ${formatCount(rest)} more`] : [])]
}

function formatVerdict(report: Report): string {
  const { ok, objects, depth, sealedFile } = report
  const proved = sealedFile?.ofSnapshot === true ? PROVED_OF_SNAPSHOT : PROVED[depth]
  return ok
    ? `ok: ${describeCount(objects, 'object')} read, nothing in plaintext that must be encrypted, ${proved}`
    : `NOT ok: of ${describeCount(objects, 'object')}: ${escapeControls(listFaults(report).join('; '))}`
}

const PROVED: Readonly<Record<Report['depth'], string>> = {
  envelopes: 'every envelope complete (use --deep to prove that they can be decrypted)',
  seeds: 'every DEK seed decrypted (use --objects to prove each object)',
  objects: 'every DEK seed and every encrypted object decrypted',
  offline:
    'every encrypted object decrypted with the sealed file of this node, so its API server can start without Vault',
}
const PROVED_OF_SNAPSHOT =
  'every encrypted object of this snapshot decrypted with the sealed file of this node (without --snapshot, the command proves that its API server can start without Vault)'

function formatCount(number: number): string {
  return number.toLocaleString('en')
}
