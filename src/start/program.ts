// The first code of the program: dist/transit-bridge.cjs. It loads the bundle of the command.
import { createRequire, getCompileCacheDir } from 'node:module'
import { join } from 'node:path'

import { runServer } from './server-code.ts'

/** Commands with a bundle of their own, because API servers and the CSI driver wait for them. */
const SERVERS: ReadonlySet<string | undefined> = new Set(['kms', 'csi'])

const folder = import.meta.dirname
const command = process.argv[2]
const file = join(folder, `${SERVERS.has(command) ? String(command) : 'commands'}.cjs`)
const require = createRequire(file)
if (SERVERS.has(command)) runServer({ file, cacheFolder: getCompileCacheDir(), require })
else require(file)
