import { formatHelp, type HelpParts } from './help.ts'
import type { OptionTable, ValuesOf } from './option.ts'
import { flag, optionName, usageError, UsageError } from './option.ts'
import type { Terminal } from './terminal.ts'

/** The arguments of a command that belong to no option. */
export interface OperandRule {
  /** Its name in help: FILE. */
  readonly name: string
  readonly repeats?: boolean
  /** The only values that it accepts, if there are few. */
  readonly choices?: readonly string[]
}

/** What was typed after the name of a command, not parsed yet. */
export interface GivenArguments {
  /** By option name, in the order in which they were typed; a flag has one empty text. */
  readonly options: ReadonlyMap<string, readonly string[]>
  readonly operands: readonly string[]
}

/** The declaration of a command, from which help, completion and typed values are derived. */
export interface CommandSpec<Table extends OptionTable> {
  /** As it is typed: "config check". */
  readonly name: string
  /** What follows the name, one line for each form. */
  readonly usage: readonly string[]
  /** Paragraphs; lines of a paragraph are wrapped, indented lines are kept. */
  readonly description: string
  readonly options: Table
  readonly operand?: OperandRule
  readonly exitCodes?: string
  readonly examples: readonly string[]
  /** Returns the exit code. */
  readonly run: (values: CommandValues<Table>, terminal: Terminal) => Promise<number>
}

export type CommandValues<Table extends OptionTable> = ValuesOf<Table> & {
  readonly operands: readonly string[]
}

/** A command of any declaration. */
export interface Command {
  readonly name: string
  readonly help: string
  /** What the help consists of, for the manual page. */
  readonly parts: HelpParts
  readonly options: OptionTable
  readonly operand: OperandRule | undefined
  /** Parses the values and runs the command; returns the exit code. Throws USAGE_INVALID. */
  readonly execute: (given: GivenArguments, terminal: Terminal) => Promise<number>
}

/** Options that every command has. */
const COMMON = { help: flag('Print this help.') }

export function defineCommand<Table extends OptionTable>(spec: CommandSpec<Table>): Command {
  const options = { ...spec.options, ...COMMON }
  const parts = { ...spec, options }
  return {
    name: spec.name,
    help: formatHelp(parts),
    parts,
    options,
    operand: spec.operand,
    execute: async (given, terminal) => {
      try {
        return await spec.run(readValues(spec, given), terminal)
      } catch (error) {
        if (error instanceof UsageError)
          throw usageError(`${spec.name}: ${error.message}`, { cause: error })
        throw error
      }
    },
  }
}

/** The part of a declaration that parsing needs. */
export interface ReadableSpec<Table extends OptionTable> {
  readonly name: string
  readonly options: Table
  readonly operand?: OperandRule | undefined
}

/** Parses what was typed, according to the declaration. Throws USAGE_INVALID. */
export function readValues<Table extends OptionTable>(
  { options, operand, name }: ReadableSpec<Table>,
  given: GivenArguments,
): CommandValues<Table> {
  const entries = Object.entries(options).map(([key, option]) => {
    const typed = optionName(key)
    const texts = given.options.get(typed) ?? []
    if (option.required === true && texts.length === 0)
      throw usageError(`needs --${typed} ${option.takes ?? ''}; see ${name} --help`)
    return [key, option.read(texts, `--${typed}`)] as const
  })
  if (operand !== undefined && given.operands.length === 0)
    throw usageError(`needs ${operand.name}; see ${name} --help`)
  return { ...Object.fromEntries(entries), operands: given.operands } as CommandValues<Table>
}
