import { formatReport } from '../verify/report-text.ts'
import type { Report } from '../verify/report.ts'
import { textValue } from './cli/cluster-options.ts'
import { requireValue, type OptionValues } from './cli/command.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'
import { readVerifyOptions } from './cli/verify-options.ts'
import { verify } from './verify.ts'

/** Proves that a snapshot is encrypted and that the current Vault can decrypt all of it. */
export async function runDrillBackup(values: OptionValues, terminal: Terminal): Promise<number> {
  const report = await readSnapshot(requireValue(values, 'SNAPSHOT'), values, terminal)
  print(terminal, values['json'] === true ? JSON.stringify(report, null, 2) : formatBackup(report))
  return report.ok ? EXIT_OK : EXIT_FAILED
}

/** Decrypts every object of a snapshot with the current Vault and the plugin's own rights. */
export function readSnapshot(
  file: string,
  values: OptionValues,
  terminal: Terminal,
): Promise<Report> {
  const passed = ['config', 'etcd-prefix', 'encryption-config', 'allow']
  const own = passed.map((name) => [name, textValue(values, name)] as const)
  return verify(
    readVerifyOptions({
      ...Object.fromEntries(own),
      snapshot: file,
      deep: true,
      objects: true,
      'skip-hash-check': values['skip-hash-check'],
    }),
    terminal,
  )
}

function formatBackup(report: Report): string {
  const needs = report.keyVersionsNeeded.map(
    ({ provider, versions }) => `${provider}: ${versions.toReversed().join(', ')}`,
  )
  return [
    formatReport(report),
    `key versions needed by this snapshot: ${needs.join('; ') || 'none'}`,
    report.ok
      ? 'this Vault can decrypt all of it; keep these versions (min_decryption_version, trim) as long as this snapshot'
      : 'not proved that all of it can be restored; see above for what is plaintext, unreadable or not decrypted',
  ].join('\n')
}
