import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { drillRestoreCommand } from '../../src/commands/drill/restore.ts'
import { execute } from '../commands/execute.ts'
import { memoryTerminal } from '../commands/memory-terminal.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

const CONFIG = `
vault:
  address: http://127.0.0.1:1
  auth: { method: token, tokenFile: /proc/self/mem } # its first bytes cannot be read (EIO)
transit: { key: k8s }
kms: { clusterId: new }
`

void test('a file that this host cannot read ends a restore drill: nothing is to do at Vault for it', async (t) => {
  const config = join(tempFolder('restore'), 'config.yaml')
  writeFileSync(config, CONFIG)
  const terminal = memoryTerminal()
  const restore = execute(drillRestoreCommand, { config }, terminal, ['backup.db'])
  await t.rejects(restore, { code: 'HOST_UNAVAILABLE', message: /the disk reports an error/ })
  t.equal(terminal.text(), '')
})
