// Runs in place of the program under the launcher's options: it restricts itself as the servers do, and then says for each line
// of standard input, `read PATH` or `write PATH`, whether it may.
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

import { restrictFiles } from '../../../src/commands/cli/process/file-rights.ts'
import { findFileNeeds } from '../../../src/config/file-needs.ts'
import { parseProviderConfig } from '../../../src/config/load.ts'

const [role = '', , file = ''] = process.argv.slice(2)
const { config } = parseProviderConfig(file, readFileSync(file, 'utf8'), {})
const why = restrictFiles(findFileNeeds(config, role === 'kms' ? 'kms' : 'csi'))
process.stdout.write(`${why ?? 'restricted'}\n`)
for await (const line of createInterface({ input: process.stdin })) {
  const [kind, path = ''] = line.split(' ')
  try {
    if (kind === 'read') readFileSync(path)
    else writeFileSync(path, 'x')
    process.stdout.write(`${line}: done\n`)
  } catch (error) {
    process.stdout.write(`${line}: ${(error as NodeJS.ErrnoException).code ?? 'failed'}\n`)
  }
}
