import type { Command } from '../cli/command.ts'
import { isGroup, type CommandTable } from '../cli/command-table.ts'
import { optionName } from '../cli/option.ts'

/** A word that a shell may complete, and what it means. */
export interface CompletionWord {
  readonly word: string
  readonly help: string
}

export interface CompletionOption {
  /** With the two dashes. */
  readonly name: string
  readonly help: string
  /** Whether a value follows. */
  readonly takesValue: boolean
  /** The only values that it accepts, if there are few. */
  readonly choices: readonly string[]
}

/** What may follow a command, or a group of commands. */
export interface CompletionPlace {
  /** As it is typed: "config check"; empty for the program itself. */
  readonly path: string
  readonly commands: readonly CompletionWord[]
  readonly options: readonly CompletionOption[]
}

export type CompletionWords = readonly CompletionPlace[]

const HELP = { name: '--help', help: 'Print this help.', takesValue: false, choices: [] }
const VERSION = { ...HELP, name: '--version', help: 'Print the version.' }

/** Everything that can be completed, from the declarations of the commands. */
export function describeWords(table: CommandTable, commands: readonly Command[]): CompletionWords {
  const top = wordsOf(table)
  const help = { word: 'help', help: 'Print the help of a command.' }
  const groups = Object.entries(table).flatMap(([path, entry]) =>
    isGroup(entry) ? [{ path, commands: wordsOf(entry.commands) }] : [],
  )
  const places = new Map<string, CompletionPlace>()
  const add = (place: CompletionPlace) => places.set(place.path, place)
  add({ path: '', commands: [...top, help], options: [HELP, VERSION] })
  add({ path: 'help', commands: top, options: [] })
  for (const { path, commands: inner } of groups) {
    add({ path, commands: inner, options: [HELP] })
    add({ path: `help ${path}`, commands: inner, options: [] })
  }
  for (const command of commands)
    add({
      path: command.name,
      commands: places.get(command.name)?.commands ?? choicesOf(command),
      options: optionsOf(command),
    })
  return [...places.values()]
}

function choicesOf({ operand }: Command): readonly CompletionWord[] {
  return (operand?.choices ?? []).map((word) => ({ word, help: word }))
}

function wordsOf(table: Readonly<Record<string, { readonly summary: string }>>) {
  return Object.entries(table).map(([word, { summary }]) => ({ word, help: summary }))
}

function optionsOf({ options }: Command): readonly CompletionOption[] {
  return Object.entries(options).map(([key, { help, takes, choices = [] }]) => ({
    name: `--${optionName(key)}`,
    help,
    takesValue: takes !== undefined,
    choices,
  }))
}

/** Where each word leads, as the branches of `case` in bash and zsh: from "config" by "check" to "config check". */
export function formatSteps(places: CompletionWords): string {
  return places
    .filter(({ path }) => path !== '')
    .map(formatStep)
    .join('\n')
}

function formatStep({ path }: CompletionPlace): string {
  const parts = path.split(' ')
  const from = parts.slice(0, -1).join(' ')
  return `      ${quoteForShell(`${from} ${parts.at(-1) ?? ''}`)}) place=${quoteForShell(path)} ;;`
}

/** A text in single quotes, as every shell reads it. */
export function quoteForShell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
