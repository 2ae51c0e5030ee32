// Shared by image and tarball: the Node.js that the lock file pins, the built program, the bill of materials.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

export const ROOT = join(import.meta.dirname, '..')

/** The version of the program. */
export const VERSION = (
  JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { readonly version: string }
).version

/** The options that bin/transit-bridge starts Node.js with: whatever starts the program without a shell has the same. */
export const NODE_OPTIONS = readLauncherOptions()

/** How the image starts the program; it has no shell for the launcher. */
export const IMAGE_ENTRYPOINT = [
  '/usr/bin/node',
  ...NODE_OPTIONS,
  '/app/dist/transit-bridge.cjs',
] as const

function readLauncherOptions(): readonly string[] {
  const launcher = readFileSync(join(ROOT, 'bin/transit-bridge'), 'utf8')
  const [, options] = /^exec "\$node" (--.+) "\$bundle" "\$@"$/m.exec(launcher) ?? []
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

/** Copies the built program, its licenses and its bill of materials into a folder. */
export function copyProgram(folder: string): void {
  const bundle = join(ROOT, 'dist/transit-bridge.cjs')
  if (!existsSync(bundle)) throw new Error('the program is not built; run npm run build')
  mkdirSync(join(folder, 'dist'), { recursive: true })
  for (const name of ['transit-bridge.cjs', 'transit-bridge.cjs.LEGAL.txt'])
    if (existsSync(join(ROOT, 'dist', name)))
      cpSync(join(ROOT, 'dist', name), join(folder, 'dist', name))
  cpSync(join(ROOT, 'LICENSE'), join(folder, 'LICENSE'))
  writeFileSync(join(folder, 'sbom.cdx.json'), billOfMaterials())
}

/** CycloneDX for the runtime dependencies, without development dependencies. */
function billOfMaterials(): string {
  const args = ['sbom', '--package-lock-only', '--omit=dev', '--sbom-format=cyclonedx']
  return execFileSync('npm', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
}
