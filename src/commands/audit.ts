import { stat } from 'node:fs/promises'
import { basename } from 'node:path'

import type { Audit, AuditSummary } from '../audit/audit.ts'
import type { KeyUse } from '../audit/key-use.ts'
import { readLogFile, type LogLine } from '../audit/log-file.ts'
import { formatAudit, formatUse } from '../audit/text.ts'
import { systemClock } from '../time/clock.ts'
import { defineCommand, type CommandValues } from './cli/command.ts'
import { flag, repeated, text, usageError, type Option } from './cli/option.ts'
import { Progress } from './cli/progress.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'

const options = {
  key: text('NAME', 'Report only the uses of this key.'),
  verifyRun: repeated(
    'UID',
    'The uid that a run of verify or escrow create printed. Its requests are not suspicious. Repeat it for each run.',
  ),
  since: time('Calls of plugins before this time need no entry in the audit files.'),
  until: time('Calls of plugins after this time need no entry.'),
  events: flag('Print every use of the key, not only the suspicious ones and the totals.'),
  json: flag('Print one JSON object per line: the uses, then the summary.'),
}

/** With a zone. Date.parse alone reads "10" as a month, and a time without a zone as local. */
const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/

function time(help: string): Option<number | undefined> {
  return {
    ...text('TIME', help),
    read: ([value], label) => {
      if (value === undefined) return undefined
      const at = RFC_3339.test(value) ? Date.parse(value) : Number.NaN
      if (Number.isNaN(at)) throw usageError(`${label} must be a time such as 2026-01-31T12:00:00Z`)
      return at
    },
  }
}

type AuditValues = CommandValues<typeof options>

export const auditCommand = defineCommand({
  name: 'audit',
  usage: [
    'FILE... [--key NAME] [--verify-run UID]... [--since TIME] [--until TIME] [--events] [--json]',
  ],
  description: `
Match the audit files of Vault or OpenBao with the logs of plugins, by the uid
that each request carries: who used which key, when, from which node, with what
result. A use that may return something secret (decrypt, rewrap, datakey,
export, byok-export, backup, and every operation that this program does not
know) is reported as suspicious unless a plugin in these logs made enough calls
of the same kind, with the same uid, for the same key.

The order of the files does not matter. Files may be compressed with gzip or
zstd. Each is read twice, in constant memory; a temporary file of SQLite
(SQLITE_TMPDIR) takes about 100 bytes for each call. A line that cannot be read
is reported, and the result is then not ok. The same applies to a call that Vault
answered, according to the log of a plugin, but that has no entry in any file:
the file of a Vault node, or of a period, is missing. A missing file that contains
only uses by other clients cannot be detected. Without any call of a plugin
about the key and within the time, the result is not ok either.

The plugins must log at level debug, and Vault must write the header
X-Transit-Bridge-UID to its audit device, as setup configures it. The name of a
log file identifies the plugin's node.`,
  options,
  operand: { name: 'FILE', repeats: true },
  exitCodes:
    '0 nothing is suspicious and everything was read, 1 something is suspicious, was not read or cannot be compared, 2 wrong usage, or no entry is about the key.',
  examples: ['$ transit-bridge audit audit.log audit.log.1.gz node-*.log --key k8s-etcd'],
  run: runAudit,
})

/** Matches audit files of Vault with logs of plugins. */
async function runAudit(values: AuditValues, terminal: Terminal): Promise<number> {
  const { operands: files, key, verifyRun, events, json, since, until } = values
  if (since !== undefined && until !== undefined && since >= until)
    throw usageError('--since must be before --until')
  await refuseRepeated(files)
  const [{ Audit }, { openTemporaryDatabase }] = await Promise.all([
    import('../audit/audit.ts'),
    import('../audit/temporary-database.ts'),
  ])
  const database = openTemporaryDatabase()
  try {
    const onUse = events ? showUse(json, terminal) : undefined
    const audit = new Audit({ database, key, verifyRuns: verifyRun, since, until, onUse })
    await readFiles(files, audit, terminal)
    const summary = audit.summarize()
    if (audit.entries === 0) refuseEmpty(values, audit, summary)
    print(terminal, json ? JSON.stringify(summary) : formatAudit(summary))
    return summary.ok ? EXIT_OK : EXIT_FAILED
  } finally {
    database.close()
  }
}

async function readFiles(
  files: readonly string[],
  audit: Audit,
  terminal: Terminal,
): Promise<void> {
  const { stderr } = terminal
  const progress = new Progress({ stderr, clock: systemClock, what: 'lines read' })
  let lines = 0
  const read = async function* (path: string): AsyncIterable<readonly LogLine[]> {
    for await (const batch of readLogFile(path)) {
      lines += batch.length
      progress.show(lines, undefined)
      yield batch
    }
  }
  try {
    for (const path of files) await audit.readCalls(path, basename(path), read(path))
    for (const path of files) await audit.readEntries(path, read(path))
  } finally {
    progress.end()
  }
}

/** A file that is passed under two names would double its calls and hide a copied uid. */
async function refuseRepeated(files: readonly string[]): Promise<void> {
  const seen = new Map<string, string>()
  for (const path of files) {
    const found = await stat(path, { bigint: true }).catch(() => undefined)
    if (found === undefined) continue
    const id = `${String(found.dev)}:${String(found.ino)}`
    const other = seen.get(id)
    if (other !== undefined)
      throw usageError(`${other} and ${path} are the same file; pass it once`)
    seen.set(id, path)
  }
}

/** As JSON: one object per line, the summary last. */
function showUse(json: boolean, terminal: Terminal): (use: KeyUse) => void {
  return (use) => print(terminal, json ? JSON.stringify(use) : formatUse(use))
}

/** Nothing was found: the key or the files are wrong. */
function refuseEmpty({ operands, key }: AuditValues, audit: Audit, { files }: AuditSummary): never {
  const others = audit.otherKeys
  if (key !== undefined && others.length > 0)
    throw usageError(
      `no entry is about the key ${key}; the files have entries about ${others.join(', ')}`,
    )
  const unread = files.find(({ problems }) => problems.length > 0)
  const [problem] = unread?.problems ?? []
  if (unread !== undefined && problem !== undefined)
    throw usageError(
      `${unread.path}: line ${String(problem.line)} ${problem.why}, and no line is an entry about a Transit key`,
    )
  throw usageError(
    `${operands.join(', ')}: no line is an entry of a Vault audit file about a Transit key; pass the file of an audit device of type file, in JSON`,
  )
}
