// The first code of the program: dist/transit-bridge.cjs. It loads the bundle of the command.
import { createRequire, getCompileCacheDir } from 'node:module'
import { join } from 'node:path'

/** Commands with a bundle of their own, because API servers and the CSI driver wait for them. */
const SERVERS: ReadonlySet<string | undefined> = new Set(['kms', 'csi'])

const folder = import.meta.dirname
const command = process.argv[2]
const isServer = SERVERS.has(command)
const file = join(folder, `${isServer ? String(command) : 'commands'}.cjs`)
const require = createRequire(file)
if (isServer) void startServer()
else require(file)

async function startServer(): Promise<void> {
  const { runServer } = await import('./server-code.ts')
  runServer({ file, cacheFolder: getCompileCacheDir(), require })
}
