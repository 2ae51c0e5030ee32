// First: until it is loaded, process 1 of a container ignores signals.
import './commands/cli/process/process-exit.ts'
import type { Terminal } from './commands/cli/terminal.ts'
import { COMMANDS } from './commands/table.ts'
import { runCommandLine, start } from './start/command-line.ts'

/** Runs a command line; returns the exit code. */
export function main(args: readonly string[], terminal: Terminal): Promise<number> {
  return runCommandLine(args, terminal, COMMANDS)
}

if (import.meta.main) void start(COMMANDS)
