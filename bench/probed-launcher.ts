import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')

/**
 * Writes a launcher that loads a module into the program, with an environment variable in the syntax of the shell. Returns its path
 * in `folder`. --permission would forbid what the module does; everything else stays as users run it.
 */
export function writeProbedLauncher(
  folder: string,
  { module, variable }: { readonly module: string; readonly variable: string },
): string {
  const text = readFileSync(join(ROOT, 'bin/transit-bridge'), 'utf8')
  const start = `${variable} exec "$node" --import '${module}'`
  const probed = text.replace('exec "$node" $permission $rights', () => start)
  if (probed === text) throw new Error('bin/transit-bridge starts Node.js in another way')
  // The launcher finds the program beside its own folder.
  for (const part of ['dist', 'node_modules']) symlinkSync(join(ROOT, part), join(folder, part))
  mkdirSync(join(folder, 'bin'))
  const launcher = join(folder, 'bin/transit-bridge')
  writeFileSync(launcher, probed)
  chmodSync(launcher, 0o755)
  return launcher
}
