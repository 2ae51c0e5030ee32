import { parseArgs } from 'node:util'

import { findNearest, listChoices } from '../../text/nearest.ts'
import { formatGroupHelp, formatProgramHelp } from './program-help.ts'
import type { Command, GivenArguments } from './command.ts'
import { optionName, usageError, type Option, type OptionTable } from './option.ts'
import { isGroup, type CommandEntry, type CommandTable } from './command-table.ts'

/** What the command line asks for. */
export type Request =
  | { readonly kind: 'run'; readonly command: Command; readonly given: GivenArguments }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'version' }

/** Options of the program itself. */
const GLOBAL: OptionTable = {
  help: { help: 'Print this help.', read: () => undefined },
  version: { help: 'Print the version.', read: () => undefined },
}

/** Reads a command line. Only the command that it names is loaded. Throws USAGE_INVALID with a suggestion. */
export async function readArguments(
  args: readonly string[],
  commands: CommandTable,
): Promise<Request> {
  const [first, ...rest] = args
  if (first === undefined)
    throw usageError(`a command is missing; see transit-bridge --help for all commands`)
  if (first === 'help') return { kind: 'help', text: await findHelp(rest, commands) }
  if (first.startsWith('-')) return readGlobalOption(args, commands)
  const entry = pick(commands, first, '')
  if (!isGroup(entry)) return readCall(await entry.load(), rest)
  const [inner, ...others] = rest
  if (isHelp(inner)) return { kind: 'help', text: await formatGroupHelp(first, entry) }
  if (inner !== undefined && !inner.startsWith('-'))
    return readCall(await pick(entry.commands, inner, `${first} `).load(), others)
  if (entry.own !== undefined) return readCall(await entry.own(), rest)
  throw usageError(
    `${first} needs a command: ${listChoices(Object.keys(entry.commands))}; see ${first} --help`,
  )
}

function isHelp(argument: string | undefined): boolean {
  return argument === '--help' || argument === '-h'
}

function readGlobalOption(args: readonly string[], commands: CommandTable): Request {
  const { options } = readOptions(args, GLOBAL, { prefix: '' })
  if (options.has('version')) return { kind: 'version' }
  return { kind: 'help', text: formatProgramHelp(commands) }
}

function readCall(command: Command, args: readonly string[]): Request {
  const { name, options, operand } = command
  const given = readOptions(args, options, {
    prefix: `${name}: `,
    mostOperands: operand === undefined ? 0 : operand.repeats === true ? Infinity : 1,
  })
  if (given.options.has('help')) return { kind: 'help', text: command.help }
  return { kind: 'run', command, given }
}

async function findHelp(names: readonly string[], commands: CommandTable): Promise<string> {
  const [name, inner, ...more] = names
  if (name === undefined || name === 'help' || isHelp(name)) return formatProgramHelp(commands)
  const entry = pick(commands, name, '')
  if (isGroup(entry)) {
    if (inner === undefined) return formatGroupHelp(name, entry)
    if (more.length > 0) throw usageError(`help: unexpected argument ${JSON.stringify(more[0])}`)
    return (await pick(entry.commands, inner, `${name} `).load()).help
  }
  if (inner === undefined) return (await entry.load()).help
  throw usageError(`help: ${name} has no subcommands; see ${name} --help`)
}

function pick<T extends CommandEntry | CommandTable[string]>(
  table: Readonly<Record<string, T>>,
  name: string,
  prefix: string,
): T {
  const found = Object.hasOwn(table, name) ? table[name] : undefined
  if (found !== undefined) return found
  const nearest = findNearest(name, Object.keys(table))
  const hint =
    nearest === undefined
      ? `see ${prefix === '' ? 'transit-bridge ' : prefix}--help for all commands`
      : `did you mean ${prefix}${nearest}?`
  throw usageError(`${prefix}${JSON.stringify(name)} is not a command; ${hint}`)
}

interface Reading {
  /** The prefix of every message: "config check: ". */
  readonly prefix: string
  readonly mostOperands?: number
}

/** Parses options with node:util in its lenient mode, so that the error messages are our own. */
function readOptions(
  args: readonly string[],
  table: OptionTable,
  { prefix, mostOperands = 0 }: Reading,
): GivenArguments {
  const rules = new Map(Object.entries(table).map(([key, option]) => [optionName(key), option]))
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      [...rules].map(([name, { takes }]) => {
        const type = takes === undefined ? ('boolean' as const) : ('string' as const)
        return [name, name === 'help' ? { type, short: 'h' } : { type }]
      }),
    ),
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const options = new Map<string, string[]>()
  const operands: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') {
      if (operands.length >= mostOperands)
        throw usageError(`${prefix}unexpected argument ${JSON.stringify(token.value)}`)
      operands.push(token.value)
    }
    if (token.kind !== 'option') continue
    const rule = rules.get(token.name)
    if (rule === undefined)
      throw usageError(
        `${prefix}${token.rawName} is not an option; ${suggestOption(token.name, [...rules.keys()])}`,
      )
    const known = options.get(token.name)
    if (known !== undefined && rule.repeats !== true)
      throw usageError(`${prefix}${token.rawName} is specified twice`)
    options.set(token.name, [...(known ?? []), readOption(token, rule, prefix)])
  }
  return { options, operands }
}

interface OptionToken {
  readonly rawName: string
  readonly value: string | undefined
  readonly inlineValue: boolean | undefined
}

function readOption(
  { rawName, value, inlineValue }: OptionToken,
  { takes, readsInput }: Pick<Option<unknown>, 'takes' | 'readsInput'>,
  prefix: string,
): string {
  if (takes === undefined) {
    if (value !== undefined) throw usageError(`${prefix}${rawName} takes no value`)
    return ''
  }
  const isInput = readsInput === true && value === '-'
  const looksLikeOption = inlineValue !== true && value?.startsWith('-') === true && !isInput
  if (value === undefined || value === '' || looksLikeOption)
    throw usageError(`${prefix}${rawName} needs a value: ${rawName} ${takes}`)
  return value
}

function suggestOption(name: string, known: readonly string[]): string {
  const nearest = findNearest(name, known)
  if (nearest !== undefined) return `did you mean --${nearest}?`
  return `the options are ${listChoices(known.map((each) => `--${each}`))}`
}
