import { formatReport } from '../verify/report-text.ts'
import type { Report } from '../verify/report.ts'
import { textValue } from './cli/cluster-options.ts'
import { requireValue, type OptionValues } from './cli/command.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'
import { readVerifyOptions } from './cli/verify-options.ts'
import { verify } from './verify.ts'

/** Whether a snapshot is encrypted, and whether today's Vault can read all of it. */
export async function runDrillBackup(values: OptionValues, terminal: Terminal): Promise<number> {
  const report = await readSnapshot(requireValue(values, 'SNAPSHOT'), values, terminal)
  print(terminal, values['json'] === true ? JSON.stringify(report, null, 2) : formatBackup(report))
  return report.ok ? EXIT_OK : EXIT_FAILED
}

/** Reads every object of a snapshot by today's Vault, with the plugin's own right to decrypt. */
export function readSnapshot(
  file: string,
  values: OptionValues,
  terminal: Terminal,
): Promise<Report> {
  const passed = ['config', 'etcd-prefix', 'encryption-config', 'allow']
  const own = passed.map((name) => [name, textValue(values, name)] as const)
  return verify(
    readVerifyOptions({ ...Object.fromEntries(own), snapshot: file, deep: true, objects: true }),
    terminal,
  )
}

function formatBackup(report: Report): string {
  const needs = report.keyVersionsNeeded.map(
    ({ provider, versions }) => `${provider}: ${versions.toReversed().join(', ')}`,
  )
  return [
    formatReport(report),
    `this backup needs versions of the key: ${needs.join('; ') || 'none'}`,
    report.ok
      ? "today's vault can read all of it; keep these versions (min_decryption_version, trim) as long as this backup"
      : 'it would not come back whole; see above what is plain or cannot be read',
  ].join('\n')
}
