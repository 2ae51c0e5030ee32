// The first code of the program: dist/transit-bridge.cjs. It loads the bundle of the command.
import { createRequire, getCompileCacheDir } from 'node:module'
import { join } from 'node:path'

/** Commands with a bundle of their own, because API servers and the CSI driver wait for them. */
const SERVERS: ReadonlySet<string | undefined> = new Set(['kms', 'csi'])

/** Loads the bundle of a command from the folder of this one. */
async function startProgram(command: string | undefined): Promise<void> {
  const isServer = SERVERS.has(command)
  const file = join(import.meta.dirname, `${isServer ? String(command) : 'commands'}.cjs`)
  const require = createRequire(file)
  if (!isServer) {
    require(file)
    return
  }
  const { runServer } = await import('./server-code.ts')
  runServer({ file, cacheFolder: getCompileCacheDir(), require })
}

if (import.meta.main) void startProgram(process.argv[2])
