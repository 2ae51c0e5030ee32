import { linkSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { once } from 'node:events'
import { test } from 'tap'

import { FileClaim } from '../../../src/kms/local/file-claim.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'

/** The longest name that kms.localKeys.sealedFile accepts. */
const LONGEST_NAME = 'x'.repeat(80)

/** As a plugin leaves it that was killed. */
async function leaveDeadSocket(path: string): Promise<void> {
  const bound = join(tempFolder('dead'), 's')
  const server = createServer().listen(bound)
  await once(server, 'listening')
  linkSync(bound, path)
  server.close()
  await once(server, 'close')
}

for (const name of ['local-keys', LONGEST_NAME]) {
  void test(`a file with a name of ${String(name.length)} bytes can be claimed after a plugin was killed`, async (t) => {
    // Deeper than the address of a socket is long.
    const folder = tempFolder('d'.repeat(100))
    const file = join(folder, name)
    await leaveDeadSocket(`${file}.sock`)
    const claim = new FileClaim(file)
    t.teardown(() => claim.release())
    t.equal(await claim.isHeldElsewhere(), false)
    t.equal(await claim.hold(), true)
    const other = new FileClaim(file)
    t.equal(await other.isHeldElsewhere(), true)
    t.equal(await other.hold(), false)
  })
}
