import type { Writable } from 'node:stream'

import type { Environment } from '../../environment.ts'
import { escapeLines } from '../../text/one-line.ts'
import { ConfigError, formatFault } from '../../yaml/fault.ts'
import { BridgeError } from '../../errors.ts'

// The rules of the command line:
//
//   Standard output is for the result and nothing else: the answer of a one-shot command, the log
//   lines of a server. It can be piped, and a reader that closes early is not an error.
//
//   Everything else goes to standard error, each line with the prefix "transit-bridge: ", so that it can be
//   recognized in a pod's log. Lower case, no final period, no color.
//
//   A message says what is wrong, where (an option, or a key by its path, with file and line), and after a
//   semicolon what to do. It never contains a value that could be a secret.
//
//   The exit code is 0 for done or stopped as asked, 1 for failed, 2 for wrong usage or configuration.

/** Stopped as asked, or done. */
export const EXIT_OK = 0
/** It was tried and did not work. */
export const EXIT_FAILED = 1
/** Wrong usage or configuration: trying again cannot help. */
export const EXIT_MISTAKE = 2

/** The streams and the environment of a command. */
export interface Terminal {
  readonly stdout: Writable
  readonly stderr: Writable
  readonly environment: Environment
}

/**
 * Writes a result to standard output, with a final newline. Names in etcd, Vault and metrics are not ours: no control character
 * of theirs reaches the terminal.
 */
export function print(terminal: Terminal, text: string): void {
  const safe = escapeLines(text)
  terminal.stdout.write(safe.endsWith('\n') ? safe : `${safe}\n`)
}

/** Writes a message to standard error, with the prefix on every line. */
export function warn(terminal: Pick<Terminal, 'stderr'>, text: string): void {
  const lines = escapeLines(text).trimEnd().split('\n')
  terminal.stderr.write(lines.map((line) => `transit-bridge: ${line}\n`).join(''))
}

/** Reports why a command failed, and returns its exit code. */
export function report(terminal: Pick<Terminal, 'stderr'>, thrown: unknown): number {
  if (thrown instanceof ConfigError) {
    warn(terminal, thrown.faults.map((fault) => formatFault(thrown.file, fault)).join('\n'))
    return EXIT_MISTAKE
  }
  const error = BridgeError.from(thrown)
  warn(terminal, error.code === 'INTERNAL' ? describeInternal(error) : error.message)
  return error.code === 'USAGE_INVALID' || error.code === 'CONFIG_INVALID'
    ? EXIT_MISTAKE
    : EXIT_FAILED
}

/** The place of the error, for a bug report; not its message, which can contain anything. */
function describeInternal(error: BridgeError): string {
  const origin = error.cause instanceof Error ? error.cause : error
  const frames = (origin.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return [
    `internal error: ${origin.name}; this is a bug, please report it with these lines`,
    ...frames,
  ].join('\n')
}
