import { readArguments } from './commands/cli/arguments.ts'
import {
  complain,
  EXIT_FAILED,
  EXIT_OK,
  print,
  report,
  type Terminal,
} from './commands/cli/terminal.ts'
import { version } from './version.ts'

/** Runs one command line; gives the exit code. */
export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const request = readArguments(args)
    if (request.kind === 'run') return await request.command.run(request.values, terminal)
    print(terminal, request.kind === 'version' ? `transit-bridge ${version}` : request.usage)
    return EXIT_OK
  } catch (error) {
    return report(terminal, error)
  }
}

/** Runs the process's own command line. It ends by itself when nothing is left to do, so output is never cut. */
async function start(): Promise<void> {
  const { stdout, stderr, env: environment, argv } = process
  stdout.on('error', (error: NodeJS.ErrnoException) => endOutput(error))
  // With nobody to read messages there is nobody to tell.
  stderr.on('error', () => undefined)
  const code = await main(argv.slice(2), { stdout, stderr, environment })
  process.exitCode = process.exitCode || code
}

/** A reader that goes away early, as `head` does, is no error; a full disk is one. */
function endOutput(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') return
  complain(process, `cannot write to standard output: ${error.code ?? error.name}`)
  process.exitCode = EXIT_FAILED
}

if (import.meta.main) void start()
