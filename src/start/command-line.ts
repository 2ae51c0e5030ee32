import { keepMemoryOutOfCoreDumps } from '../commands/cli/process/core-dump.ts'
import { readArguments } from '../commands/cli/arguments.ts'
import {
  warn,
  EXIT_FAILED,
  EXIT_OK,
  print,
  report,
  type Terminal,
} from '../commands/cli/terminal.ts'
import type { CommandTable } from '../commands/cli/command-table.ts'
import { version } from '../version.ts'

/** Runs a command line; returns the exit code. */
export async function runCommandLine(
  args: readonly string[],
  terminal: Terminal,
  commands: CommandTable,
): Promise<number> {
  try {
    const request = await readArguments(args, commands)
    if (request.kind === 'run') return await request.command.execute(request.given, terminal)
    print(terminal, request.kind === 'version' ? `transit-bridge ${version}` : request.text)
    return EXIT_OK
  } catch (error) {
    return report(terminal, error)
  }
}

/** Runs the command line of the process. The process exits when nothing is left to do, so output is never truncated. */
export async function start(commands: CommandTable): Promise<void> {
  keepMemoryOutOfCoreDumps()
  const { stdout, stderr, env: environment, argv } = process
  stdout.on('error', (error: NodeJS.ErrnoException) => endOutput(error))
  // When standard error has no reader, there is nowhere to report it.
  stderr.on('error', () => undefined)
  process.once('beforeExit', endWithoutResult)
  const code = await runCommandLine(argv.slice(2), { stdout, stderr, environment }, commands)
  process.off('beforeExit', endWithoutResult)
  process.exitCode = process.exitCode || code
}

/** The command waits for something that nothing will report. Node.js would exit with 0, as if everything had been checked. */
function endWithoutResult(): void {
  warn(
    process,
    'internal error: the command ended without a result; this is a bug, please report it',
  )
  process.exitCode = EXIT_FAILED
}

/** A reader that closes early, as `head` does, is not an error; a full disk is. */
function endOutput(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') return
  warn(process, `cannot write to standard output: ${error.code ?? error.name}`)
  process.exitCode = EXIT_FAILED
}
