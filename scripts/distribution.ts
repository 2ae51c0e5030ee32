// Shared by image, tarball and packages: the version, the Node.js that the lock file pins, and its options.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

export const ROOT = join(import.meta.dirname, '..')

/** The version of the program. */
export const VERSION = (
  JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { readonly version: string }
).version

/** The built program, in dist: what starts it, and one bundle for each server and for all other commands (scripts/build.ts). */
export const PROGRAM_FILES = ['transit-bridge.cjs', 'commands.cjs', 'csi.cjs', 'kms.cjs'] as const

/** The options with which bin/transit-bridge starts Node.js. Everything that starts the program without a shell uses the same. */
export const NODE_OPTIONS = readLauncherOptions()

/** How the image starts the program; it has no shell for the launcher. */
export const IMAGE_ENTRYPOINT = [
  '/usr/bin/node',
  ...NODE_OPTIONS,
  '/app/dist/transit-bridge.cjs',
] as const

function readLauncherOptions(): readonly string[] {
  const launcher = readFileSync(join(ROOT, 'bin/transit-bridge'), 'utf8')
  const [, options] =
    /^exec "\$node" \$permission \$rights (--.+) "\$bundle" "\$@"$/m.exec(launcher) ?? []
  if (options === undefined) throw new Error('bin/transit-bridge: its last line cannot be parsed')
  return options.split(' ')
}

/** The Node.js binary of this platform as package-lock.json pins it, with its integrity hash. */
export function pinnedNode(): string {
  const name = `node-linux-${process.arch}`
  const require = createRequire(join(ROOT, 'package.json'))
  try {
    return join(dirname(require.resolve(`${name}/package.json`)), 'bin/node')
  } catch {
    throw new Error(`${name} is not installed: run npm ci on Linux (x64 or arm64)`)
  }
}
