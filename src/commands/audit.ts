import { basename } from 'node:path'

import { readAuditEntry } from '../audit/entry.ts'
import { AuditJoin, type KeyUse } from '../audit/join.ts'
import { AuditTally } from '../audit/summary.ts'
import { formatAudit, formatUse } from '../audit/text.ts'
import { readJsonLines } from '../files/json-lines.ts'
import { readPluginCall } from '../audit/plugin-call.ts'
import { BridgeError } from '../errors.ts'
import { defineCommand, type CommandValues } from './cli/command.ts'
import { flag, text } from './cli/option.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'

const options = {
  key: text('NAME', 'Only this key.'),
  events: flag('Print every use of the key, not only the suspicious ones and the totals.'),
  json: flag('Print one JSON object per line: the uses, then the summary.'),
}

type AuditValues = CommandValues<typeof options>

export const auditCommand = defineCommand({
  name: 'audit',
  usage: ['FILE... [--key NAME] [--events] [--json]'],
  description: `
Match the audit files of Vault or OpenBao with the logs of plugins, by the uid
that each request carries: who used which key, when, from which node, with what
result. A use that returns secret material (decrypt, rewrap, datakey, export,
backup) and that no plugin in these logs requested is reported as suspicious.

The order of the files does not matter. Each is read twice, one line at a time.
The plugins must log at level debug, and Vault must write the header
X-Transit-Bridge-UID to its audit device, as setup configures it. The name of a
log file identifies the plugin's node.`,
  options,
  operand: { name: 'FILE', repeats: true },
  exitCodes: '0 nothing is suspicious, 1 something is, 2 wrong usage.',
  examples: ['$ transit-bridge audit audit.log node-1.log node-2.log --key k8s-etcd'],
  run: runAudit,
})

/** Matches audit files of Vault with logs of plugins. */
async function runAudit(values: AuditValues, terminal: Terminal): Promise<number> {
  const { operands: files, key, events, json } = values
  const join = new AuditJoin()
  for (const file of files) await readCalls(file, join)
  const tally = new AuditTally()
  const show = events ? showUse(json, terminal) : () => undefined
  let entries = 0
  const take = (use: KeyUse | undefined) => {
    if (use === undefined || (key !== undefined && use.key !== key)) return
    tally.add(use)
    show(use)
  }
  for (const file of files) {
    for await (const line of readJsonLines(file)) {
      const entry = readAuditEntry(line)
      if (entry === undefined) continue
      entries += 1
      take(join.addEntry(entry))
    }
  }
  for (const use of join.end()) take(use)
  if (entries === 0) throw noEntries(files)
  const summary = tally.summarize(join)
  print(terminal, json ? JSON.stringify(summary) : formatAudit(summary))
  return summary.ok ? EXIT_OK : EXIT_FAILED
}

async function readCalls(file: string, join: AuditJoin): Promise<void> {
  for await (const line of readJsonLines(file)) {
    const call = readPluginCall(line)
    if (call !== undefined) join.addCall(basename(file), call)
  }
}

/** As JSON: one object per line, the summary last. */
function showUse(json: boolean, terminal: Terminal): (use: KeyUse) => void {
  return (use) => print(terminal, json ? JSON.stringify(use) : formatUse(use))
}

function noEntries(files: readonly string[]): BridgeError {
  return new BridgeError(
    'USAGE_INVALID',
    `${files.join(', ')}: no line is an entry of a Vault audit file about a Transit key; pass the file of an audit device of type file, in JSON`,
  )
}
