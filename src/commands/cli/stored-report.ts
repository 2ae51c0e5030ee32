import { systemClock } from '../../time/clock.ts'
import { readEncryptionRules } from '../../encryption/rules-file.ts'
import { EtcdClient } from '../../etcd/client.ts'
import { EtcdStore } from '../../etcd/live-store.ts'
import { makeExpectation } from '../../encryption/expectation.ts'
import { makeReport, type Report } from '../../verify/report.ts'
import { scanStore } from '../../verify/scan.ts'
import { SnapshotStore } from '../../etcd/snapshot/snapshot-store.ts'
import type { Store } from '../../etcd/store.ts'
import { textValue } from './cluster-options.ts'
import type { OptionValues } from './command.ts'
import { ETCD_OPTIONS } from './option-sets.ts'
import { Progress } from './progress.ts'
import { complain, type Terminal } from './terminal.ts'
import { readVerifyOptions, type VerifyOptions } from './verify-options.ts'

/** Whether the command line names an etcd. */
export function namesEtcd(values: OptionValues): boolean {
  return Object.keys(ETCD_OPTIONS).some((name) => values[name] !== undefined)
}

/** The part of a command line that `verify` takes, too; a rate is about something else there. */
function verifyOptions(values: OptionValues, more: OptionValues = {}): VerifyOptions {
  const names = [...Object.keys(ETCD_OPTIONS), 'encryption-config']
  const own = Object.fromEntries(names.map((name) => [name, values[name]]))
  return readVerifyOptions({ ...own, ...more })
}

/** Throws USAGE_INVALID if the options for etcd are wrong. */
export function checkEtcdOptions(values: OptionValues): void {
  if (namesEtcd(values)) verifyOptions(values)
}

/** What etcd holds now, read as `verify` reads it. */
export async function reportEtcd(
  values: OptionValues,
  terminal: Pick<Terminal, 'stderr'>,
  signal: AbortSignal,
): Promise<Report> {
  const options = verifyOptions(values)
  if (options.source.kind !== 'etcd') throw new TypeError('the options name an etcd')
  const store = new EtcdStore({
    client: new EtcdClient(options.source.access),
    onCompaction: (revision) =>
      complain(
        terminal,
        `etcd was compacted while it was read; goes on at revision ${String(revision)}`,
      ),
  })
  return reportStore(store, options, terminal, signal)
}

/** What a snapshot file holds. */
export async function reportSnapshot(
  file: string,
  values: OptionValues,
  terminal: Pick<Terminal, 'stderr'>,
  signal: AbortSignal,
): Promise<Report> {
  const prefix = textValue(values, 'etcd-prefix')
  const encryptionConfig = textValue(values, 'encryption-config')
  const options = readVerifyOptions({
    snapshot: file,
    ...(prefix === undefined ? {} : { 'etcd-prefix': prefix }),
    ...(encryptionConfig === undefined ? {} : { 'encryption-config': encryptionConfig }),
  })
  return reportStore(await SnapshotStore.open(file), options, terminal, signal)
}

async function reportStore(
  store: Store,
  options: VerifyOptions,
  { stderr }: Pick<Terminal, 'stderr'>,
  signal: AbortSignal,
): Promise<Report> {
  const { prefix, allowed, rate, encryptionConfig: file } = options
  const rules = file === undefined ? undefined : await readEncryptionRules(file)
  const progress = new Progress({ stderr, clock: systemClock, what: 'objects read' })
  try {
    const tally = await scanStore({
      store,
      selection: { prefix },
      clock: systemClock,
      ...(rate === undefined ? {} : { rate }),
      onProgress: (objects, fraction) => progress.show(objects, fraction),
      signal,
    })
    return makeReport({
      tally,
      expectation: makeExpectation({ allowed, ...(rules === undefined ? {} : { rules }) }),
      named: [],
      source: store.name,
      prefix,
      revisions: store.revisions,
      depth: 'envelopes',
    })
  } finally {
    progress.end()
    await store.close()
  }
}
