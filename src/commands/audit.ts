import { basename } from 'node:path'

import { readAuditEntry } from '../audit/entry.ts'
import { AuditJoin, type KeyUse } from '../audit/join.ts'
import { AuditTally } from '../audit/summary.ts'
import { formatAudit, formatUse } from '../audit/text.ts'
import { readJsonLines } from '../files/json-lines.ts'
import { readPluginCall } from '../audit/plugin-call.ts'
import { BridgeError } from '../errors.ts'
import { textValue } from './cli/cluster-options.ts'
import { listValues, type OptionValues } from './cli/command.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'

/** Joins audit files of Vault and logs of plugins. Each file is read twice, a line at a time. */
export async function runAudit(values: OptionValues, terminal: Terminal): Promise<number> {
  const files = listValues(values, 'FILE')
  const key = textValue(values, 'key')
  const join = new AuditJoin()
  for (const file of files) await readCalls(file, join)
  const tally = new AuditTally()
  const show = values['events'] === true ? showUse(values, terminal) : () => undefined
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
  print(terminal, values['json'] === true ? JSON.stringify(summary) : formatAudit(summary))
  return summary.ok ? EXIT_OK : EXIT_FAILED
}

async function readCalls(file: string, join: AuditJoin): Promise<void> {
  for await (const line of readJsonLines(file)) {
    const call = readPluginCall(line)
    if (call !== undefined) join.addCall(basename(file), call)
  }
}

/** As JSON, one object a line, and the summary is the last of them. */
function showUse(values: OptionValues, terminal: Terminal): (use: KeyUse) => void {
  return (use) => print(terminal, values['json'] === true ? JSON.stringify(use) : formatUse(use))
}

function noEntries(files: readonly string[]): BridgeError {
  return new BridgeError(
    'USAGE_INVALID',
    `${files.join(', ')}: no line is one of a vault audit file about a transit key; name the file of an audit device of type file, in JSON`,
  )
}
