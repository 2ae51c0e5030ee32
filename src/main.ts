// First: until it is loaded, process 1 of a container ignores signals.
import './commands/cli/process/process-exit.ts'
import { keepMemoryOutOfCoreDumps } from './commands/cli/process/core-dump.ts'
import { readArguments } from './commands/cli/arguments.ts'
import {
  warn,
  EXIT_FAILED,
  EXIT_OK,
  print,
  report,
  type Terminal,
} from './commands/cli/terminal.ts'
import { COMMANDS } from './commands/table.ts'
import { version } from './version.ts'

/** Runs a command line; returns the exit code. */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const request = await readArguments(args, COMMANDS)
    if (request.kind === 'run') return await request.command.execute(request.given, terminal)
    print(terminal, request.kind === 'version' ? `transit-bridge ${version}` : request.text)
    return EXIT_OK
  } catch (error) {
    return report(terminal, error)
  }
}

/** Runs the command line of the process. The process exits when nothing is left to do, so output is never truncated. */
async function start(): Promise<void> {
  keepMemoryOutOfCoreDumps()
  const { stdout, stderr, env: environment, argv } = process
  stdout.on('error', (error: NodeJS.ErrnoException) => endOutput(error))
  // When standard error has no reader, there is nowhere to report it.
  stderr.on('error', () => undefined)
  const code = await main(argv.slice(2), { stdout, stderr, environment })
  process.exitCode = process.exitCode || code
}

/** A reader that closes early, as `head` does, is not an error; a full disk is. */
function endOutput(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') return
  warn(process, `cannot write to standard output: ${error.code ?? error.name}`)
  process.exitCode = EXIT_FAILED
}

if (import.meta.main) void start()
