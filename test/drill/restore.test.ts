import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { stringify } from 'yaml'

import { drillRestoreCommand } from '../../src/commands/drill/restore.ts'
import { execute, type TypedOptions } from '../commands/execute.ts'
import { memoryTerminal } from '../commands/memory-terminal.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

/** A regular file whose first bytes cannot be read (EIO). */
const UNREADABLE = '/proc/self/mem'

async function restore(tokenFile: string, options: TypedOptions = {}) {
  const config = join(tempFolder('restore'), 'config.yaml')
  writeFileSync(
    config,
    stringify({
      vault: { address: 'http://127.0.0.1:1', auth: { method: 'token', tokenFile } },
      transit: { key: 'k8s' },
      kms: { clusterId: 'new' },
    }),
  )
  const snapshot = `${config}.db`
  writeFileSync(snapshot, '')
  const terminal = memoryTerminal()
  const typed = { config, ...options }
  const running = execute(drillRestoreCommand, typed, terminal, [snapshot])
  const result = await running.catch((error: unknown) => error)
  return { result, text: terminal.text() }
}

void test('a file that this host cannot read ends a restore drill: nothing is to do at Vault for it', async (t) => {
  t.match(await restore(UNREADABLE), {
    result: { code: 'HOST_UNAVAILABLE', message: /the disk reports an error/ },
    text: '',
  })
})

void test('without a credential for Vault, a restore drill shows the steps, and the first is to do', async (t) => {
  t.match(await restore('/none/token'), {
    result: 1,
    text: /^1\. \[to do\] restore the Transit key .*\n +vault\.auth\.tokenFile: /,
  })
})

void test('a file of the etcd options that cannot be read ends a restore drill: nothing is to do at the new etcd for it', async (t) => {
  const files = [
    [UNREADABLE, 'HOST_UNAVAILABLE'],
    ['/none/ca.pem', 'USAGE_INVALID'],
  ] as const
  for (const [cacert, code] of files)
    t.match(await restore('/none/token', { endpoints: 'https://127.0.0.1:1', cacert }), {
      result: { code, message: `--cacert ${cacert}: cannot be read` },
      text: '',
    })
})
