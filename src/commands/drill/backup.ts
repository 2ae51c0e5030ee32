import { escapeControls } from '../../text/one-line.ts'
import { formatReport } from '../../verify/report-text.ts'
import type { Report } from '../../verify/report.ts'
import { defineCommand, type CommandValues } from '../cli/command.ts'
import { etcdPrefixOption } from '../cli/options/etcd.ts'
import { flag, requiredText, text } from '../cli/option.ts'
import { allowedResources } from '../cli/options/resources.ts'
import { skipHashCheckOption } from '../cli/store-report.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from '../cli/terminal.ts'
import { verify, type Verification } from '../verify.ts'

const options = {
  config: requiredText('FILE', "The plugin's configuration."),
  encryptionConfig: text('FILE', "The API server's EncryptionConfiguration."),
  skipHashCheck: skipHashCheckOption,
  allow: allowedResources('Resources that may be plaintext.'),
  json: flag('Print the same JSON object as verify.'),
  ...etcdPrefixOption,
}

type BackupValues = CommandValues<typeof options>

export const drillBackupCommand = defineCommand({
  name: 'drill backup',
  usage: ['SNAPSHOT --config FILE [OPTIONS]'],
  description: `
Decrypt every object of an etcd snapshot with the current Vault, as after a
restore. Reports whether everything is encrypted and can be decrypted, and which
key versions it needs. It prints no value and changes nothing.`,
  options,
  operand: { name: 'SNAPSHOT' },
  exitCodes:
    '0 proved that everything can be restored, 1 not proved, 2 wrong usage or configuration.',
  examples: ['$ transit-bridge drill backup backup.db --config config.yaml'],
  run: runDrillBackup,
})

/** Proves that an etcd snapshot is encrypted and that the current Vault can decrypt all of it. */
async function runDrillBackup(values: BackupValues, terminal: Terminal): Promise<number> {
  const [file = ''] = values.operands
  const report = await readSnapshot(file, values, terminal)
  print(terminal, values.json ? JSON.stringify(report, null, 2) : formatBackup(report))
  return report.ok ? EXIT_OK : EXIT_FAILED
}

type SnapshotValues = Pick<BackupValues, 'config' | 'etcdPrefix'> &
  Partial<Pick<BackupValues, 'encryptionConfig' | 'allow' | 'skipHashCheck'>> &
  Pick<Verification, 'onCluster'>

/** Decrypts every object of an etcd snapshot with the plugin's own login. */
export function readSnapshot(
  file: string,
  { config, etcdPrefix, encryptionConfig, allow, skipHashCheck = false, onCluster }: SnapshotValues,
  terminal: Terminal,
): Promise<Report> {
  const source = { kind: 'snapshot', file, skipHashCheck } as const
  const verification = {
    source,
    prefix: etcdPrefix,
    allowed: allow,
    encryptionConfig,
    config,
    onCluster,
  }
  return verify({ ...verification, depth: 'objects' }, terminal)
}

function formatBackup(report: Report): string {
  const needs = report.keyVersionsNeeded.map(
    ({ provider, versions }) => `${escapeControls(provider)}: ${versions.toReversed().join(', ')}`,
  )
  return [
    formatReport(report),
    `key versions needed by this etcd snapshot: ${needs.join('; ') || 'none'}`,
    report.ok
      ? 'this Vault can decrypt all of it; keep these versions (min_decryption_version, trim) as long as this etcd snapshot'
      : 'not proved that all of it can be restored; see above for why',
  ].join('\n')
}
