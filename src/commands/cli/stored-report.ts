import { systemClock } from '../../time/clock.ts'
import { readEncryptionRules } from '../../encryption/rules-file.ts'
import type { Report } from '../../verify/report.ts'
import { verifyStore, type VerificationOptions } from '../../verify/verification.ts'
import type { Store } from '../../etcd/store.ts'
import { textValue } from './cluster-options.ts'
import type { OptionValues } from './command.ts'
import { ETCD_OPTIONS } from './option-sets.ts'
import { Progress } from './progress.ts'
import { openEtcd, openSnapshot } from './store.ts'
import type { Terminal } from './terminal.ts'
import { readVerifyOptions, type VerifyOptions } from './verify-options.ts'

/** Whether the command line names an etcd. */
export function namesEtcd(values: OptionValues): boolean {
  return Object.keys(ETCD_OPTIONS).some((name) => values[name] !== undefined)
}

/** The options that `verify` shares with other commands; a rate means something else there. */
function verifyOptions(values: OptionValues, more: OptionValues = {}): VerifyOptions {
  const names = [...Object.keys(ETCD_OPTIONS), 'encryption-config']
  const own = Object.fromEntries(names.map((name) => [name, values[name]]))
  return readVerifyOptions({ ...own, ...more })
}

/** Throws USAGE_INVALID if the options for etcd are invalid. */
export function checkEtcdOptions(values: OptionValues): void {
  if (namesEtcd(values)) verifyOptions(values)
}

/** Verifies what etcd holds now. */
export async function reportEtcd(
  values: OptionValues,
  terminal: Pick<Terminal, 'stderr'>,
  signal: AbortSignal,
): Promise<Report> {
  const options = verifyOptions(values)
  if (options.source.kind !== 'etcd') throw new TypeError('the options name an etcd')
  return reportStore({
    store: openEtcd(options.source.access, terminal),
    options,
    terminal,
    signal,
  })
}

/** Verifies what a snapshot holds. */
export async function reportSnapshot(
  file: string,
  values: OptionValues,
  terminal: Pick<Terminal, 'stderr'>,
  signal: AbortSignal,
): Promise<Report> {
  const options = readVerifyOptions({
    snapshot: file,
    'etcd-prefix': textValue(values, 'etcd-prefix'),
    'encryption-config': textValue(values, 'encryption-config'),
  })
  const opened = await openSnapshot(file, values['skip-hash-check'] === true)
  return reportStore({ ...opened, options, terminal, signal })
}

export interface StoreReport {
  readonly store: Store
  readonly options: VerifyOptions
  readonly terminal: Pick<Terminal, 'stderr'>
  readonly signal: AbortSignal
  readonly gaps?: readonly string[]
  readonly deep?: VerificationOptions['deep']
}

/** Verifies a store with a progress display, and closes it. */
export async function reportStore(report: StoreReport): Promise<Report> {
  const { store, options, terminal, signal, gaps, deep } = report
  const { prefix, resources, allowed, rate, encryptionConfig: file } = options
  const progress = new Progress({
    stderr: terminal.stderr,
    clock: systemClock,
    what: 'objects read',
  })
  try {
    return await verifyStore({
      store,
      prefix,
      resources,
      allowed,
      rules: file === undefined ? undefined : await readEncryptionRules(file),
      clock: systemClock,
      rate,
      deep,
      gaps,
      onProgress: (objects, fraction) => progress.show(objects, fraction),
      signal,
    })
  } finally {
    progress.end()
    await store.close()
  }
}
