import { execFileSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { runToEnd, type Outcome } from '../real/program/run-to-end.ts'
import { requireNoSecret } from '../real/program/told-secrets.ts'

export const ROOT = join(import.meta.dirname, '../..')
export const PROGRAM = join(ROOT, 'bin/transit-bridge')
const BUNDLE = join(ROOT, 'dist/transit-bridge.cjs')

/**
 * Builds the program, unless the last build contains all of the source. When several processes do so at
 * once it is only built more often than needed.
 */
export function buildProgram(): void {
  const built = statSync(BUNDLE, { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (newestChange() < built) return
  execFileSync(process.execPath, [join(ROOT, 'scripts/build.ts')], { stdio: 'ignore' })
}

function newestChange(): number {
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  const files = [
    'package.json',
    'scripts/build.ts',
    'scripts/bundle/descriptors.ts',
    'scripts/bundle/unused-code.ts',
    'vault-policies/kms.hcl',
    ...sources.map((name) => join('src', name)),
  ]
  return Math.max(
    ...files.map((name) => statSync(join(ROOT, name), { throwIfNoEntry: false })?.mtimeMs ?? 0),
  )
}

interface RunOptions {
  readonly program?: string
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

/** Runs the real program, as a shell would, in a separate environment. Throws if its output contains a secret. */
export async function run(
  args: readonly string[],
  { program = PROGRAM, cwd = ROOT, env = {} }: RunOptions = {},
): Promise<Outcome> {
  const outcome = await runToEnd(program, args, { cwd, env })
  requireNoSecret(`the output of ${args.join(' ')}`, `${outcome.stdout}\n${outcome.stderr}`)
  return outcome
}
