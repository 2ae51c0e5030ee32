import type { Terminal } from './terminal.ts'

/** An option as the command line takes it: `--config FILE` has a value, `--json` has none. */
export interface OptionRule {
  readonly takes?: string
  readonly required?: boolean
  /** Whether it may be given several times. */
  readonly repeats?: boolean
}

/**
 * Values by name; an option without a value is `true`. One that may be given several times has its values joined by
 * {@link SEPARATOR}; see listValues.
 */
export type OptionValues = Readonly<Record<string, string | true | undefined>>

/** What no argument of a program can hold. */
export const SEPARATOR = '\0'

/** Something that can be run by name. */
export interface Command {
  readonly usage: string
  readonly options: Readonly<Record<string, OptionRule>>
  /** What it must be given without an option, as usage texts call it: FILE. Its value has this very name. */
  readonly operand?: string
  /** Whether several operands may be given; see listValues. */
  readonly operandRepeats?: boolean
  /** Gives the exit code. Its code is loaded when it is called, so that no command pays for another. */
  readonly run: (values: OptionValues, terminal: Terminal) => Promise<number>
}

/** A name in front of other names. */
export interface CommandGroup {
  readonly usage: string
  /** What the name does without another one behind it; by default it needs one. */
  readonly own?: Command
  readonly commands: Readonly<Record<string, Command>>
}

export function isGroup(entry: Command | CommandGroup): entry is CommandGroup {
  return 'commands' in entry
}

/** The value of an option that the parser has made sure of. */
export function requireValue(values: OptionValues, name: string): string {
  const value = values[name]
  if (typeof value !== 'string') throw new TypeError(`option ${name} is not marked as required`)
  return value
}

/** All values of an option or operand that may be given several times, in their order. */
export function listValues(values: OptionValues, name: string): readonly string[] {
  const value = values[name]
  return typeof value === 'string' ? value.split(SEPARATOR) : []
}
