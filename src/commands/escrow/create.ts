import { checkRecipients } from '../../escrow/age.ts'
import { Collection } from '../../escrow/collection.ts'
import {
  makeCreationReport,
  makeEscrow,
  requireFolder,
  requireNew,
  shareFiles,
  writeEscrow,
  type CreationReport,
  type Holders,
} from '../../escrow/creation.ts'
import { KeyTable } from '../../escrow/key-table.ts'
import { MAX_SHARES } from '../../escrow/manifest.ts'
import {
  describeIncomplete,
  describeKeys,
  formatCoverage,
  type Coverage,
} from '../../escrow/reading.ts'
import { BridgeError } from '../../errors.ts'
import { systemClock } from '../../time/clock.ts'
import { defineCommand, type CommandValues } from '../cli/command.ts'
import {
  etcdAccessOptions,
  etcdPrefixOption,
  namesEtcd,
  readEtcdAccess,
} from '../cli/options/etcd.ts'
import { flag, repeated, requiredText, usageError, type Option } from '../cli/option.ts'
import { openSourceReader, type SourceAccess } from '../cli/source-access.ts'
import { requireReadable, skipHashCheckOption, type StoreSource } from '../cli/store-report.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from '../cli/terminal.ts'
import { readSource } from '../verify.ts'
import { coverStore } from './store-coverage.ts'

const options = {
  config: requiredText('FILE', "The plugin's configuration."),
  out: requiredText('FILE', 'The new escrow. Its shares are written next to it: FILE.share-1, ...'),
  split: {
    takes: 'K/N',
    help: 'Split its key into N shares, of which any K open it, such as 3/5.',
    read: ([given]) => (given === undefined ? undefined : readSplit(given)),
  } satisfies Option<Holders['split']>,
  recipient: repeated(
    'AGE',
    'An age recipient that can open it alone: age1... Repeat it for each recipient.',
  ),
  snapshot: repeated(
    'FILE',
    'An etcd snapshot that it must cover. Repeat it for each snapshot. etcd itself is then read only if --endpoints is passed, too.',
  ),
  skipHashCheck: skipHashCheckOption,
  includeSeeds: flag('Also hold the DEK seeds that Transit encrypted without a local key.'),
  json: flag('Print one JSON object.'),
  ...etcdAccessOptions,
  ...etcdPrefixOption,
}

type CreateValues = CommandValues<typeof options>

export const escrowCreateCommand = defineCommand({
  name: 'escrow create',
  usage: ['--config FILE --out FILE (--split K/N | --recipient AGE) [OPTIONS]'],
  description: `
Decrypt through Transit each local key that etcd and the named etcd snapshots
need, prove each encrypted object with it, and encrypt the keys for people who can
open them if Vault is destroyed. Anyone who has enough shares, or one identity, and
a copy of etcd can read all Secrets: give each share to a different person.`,
  options,
  exitCodes:
    '0 proved that every encrypted object is covered, 1 not proved (the escrow is written if it covers anything), 2 wrong usage or configuration.',
  examples: [
    '$ transit-bridge escrow create --config config.yaml --split 3/5 \\\n      --out escrow.json',
  ],
  run: runCreate,
})

function readSplit(given: string): Holders['split'] {
  const [, needed = '', of = ''] = /^([1-9]\d{0,2})\/([1-9]\d{0,2})$/.exec(given) ?? []
  const split = { needed: Number(needed), of: Number(of) }
  if (split.needed >= 2 && split.needed <= split.of && split.of <= MAX_SHARES) return split
  throw usageError(
    `--split must be K/N such as 3/5; K must be at least 2 and at most N, and N at most ${String(MAX_SHARES)}`,
  )
}

/** Writes an escrow. Nothing secret is printed. */
async function runCreate(values: CreateValues, terminal: Terminal): Promise<number> {
  const { split, recipient: recipients, out } = values
  if (split === undefined && recipients.length === 0)
    throw usageError('needs --split K/N, such as 3/5, or --recipient AGE')
  checkRecipients(recipients)
  await requireFolder(out)
  await requireNew([out, ...shareFiles(out, split?.of ?? 0)])
  const report = await create(values, { split, recipients }, terminal)
  print(terminal, values.json ? JSON.stringify(report, null, 2) : formatCreation(report))
  return report.ok ? EXIT_OK : EXIT_FAILED
}

async function create(
  values: CreateValues,
  holders: Holders,
  terminal: Terminal,
): Promise<CreationReport> {
  const sources = readSources(values)
  for (const source of sources) await requireReadable(source)
  const access = await openSourceReader(values.config, 'escrow', terminal)
  const table = new KeyTable()
  try {
    const collection = new Collection({ ...access, table, includeSeeds: values.includeSeeds })
    const coverage: Coverage[] = []
    for (const source of sources)
      coverage.push(await coverStore(source, values.etcdPrefix, collection, terminal))
    if (table.entries.length === 0) throw nothingCovered(coverage)
    const made = await makeEscrow(table, holders, describe(access, collection, coverage))
    await writeEscrow(values.out, made)
    return makeCreationReport(values.out, made, coverage, access.uid)
  } finally {
    table.end()
    access.reader.end()
    await access.close()
  }
}

function describe(
  { kms, place }: SourceAccess,
  collection: Collection,
  coverage: readonly Coverage[],
) {
  return {
    clusterId: kms.clusterId,
    alsoDecryptClusters: kms.alsoDecryptClusters,
    transit: { mount: place.mount, key: place.key, versions: [...collection.keyVersions] },
    coverage,
    now: systemClock.now(),
  }
}

/** The named etcd snapshots, and etcd if it is named or nothing else is. */
function readSources(values: CreateValues): readonly StoreSource[] {
  const { snapshot: files, skipHashCheck } = values
  if (files.length === 0) return [readSource({ ...values, snapshot: undefined })]
  const snapshots = files.map((file) => ({ kind: 'snapshot', file, skipHashCheck }) as const)
  if (!namesEtcd(values)) return snapshots
  return [{ kind: 'etcd', access: readEtcdAccess(values) }, ...snapshots]
}

function nothingCovered(coverage: readonly Coverage[]): BridgeError {
  const lines = coverage.flatMap(formatCoverage)
  return new BridgeError(
    'STATE_INVALID',
    ['no object can be covered, so no escrow was written', ...lines].join('\n'),
  )
}

function formatCreation(report: CreationReport): string {
  const { ok, escrow, shares, needed, recipients, coverage, vaultUid } = report
  const ways = [
    ...(needed === undefined ? [] : [`any ${String(needed)} of ${String(shares.length)} shares`]),
    ...(recipients === 0 ? [] : [`one of ${String(recipients)} age recipients`]),
  ]
  return [
    ...coverage.flatMap(formatCoverage),
    `${escrow}: ${describeKeys(report)}, opened by ${ways.join(', or by ')}`,
    ...(shares.length === 0
      ? []
      : [`give each of these to a different person, then delete it here: ${shares.join(' ')}`]),
    `uid of its requests in Vault's audit log: ${vaultUid} (transit-bridge audit --verify-run)`,
    ok
      ? 'ok: every encrypted object is covered and was decrypted with the keys in the escrow'
      : `${describeIncomplete(coverage)}; see above`,
  ].join('\n')
}
