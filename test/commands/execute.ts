import type { Command } from '../../src/commands/cli/command.ts'
import type { Terminal } from '../../src/commands/cli/terminal.ts'

/** Options as a test writes them: by the name that is typed, with `true` for a flag. */
export type TypedOptions = Readonly<Record<string, string | true | undefined>>

/** Runs a command in this process, with options as if they were typed. */
export function execute(
  command: Command,
  typed: TypedOptions,
  terminal: Terminal,
  operands: readonly string[] = [],
): Promise<number> {
  return command.execute(giveOptions(typed, operands), terminal)
}

/** What the parser makes of typed options. */
export function giveOptions(typed: TypedOptions, operands: readonly string[] = []) {
  const options = Object.entries(typed).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, [value === true ? '' : value]] as const],
  )
  return { options: new Map(options), operands }
}
