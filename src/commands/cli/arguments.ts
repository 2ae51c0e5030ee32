import { parseArgs } from 'node:util'

import { findNearest, listChoices } from '../../text/nearest.ts'
import { BridgeError } from '../../errors.ts'
import { isGroup, SEPARATOR, type Command, type OptionRule, type OptionValues } from './command.ts'
import { COMMANDS } from '../table.ts'
import { USAGE } from '../usage.ts'

/** What the command line asks for. */
export type Request =
  | { readonly kind: 'run'; readonly command: Command; readonly values: OptionValues }
  | { readonly kind: 'help'; readonly usage: string }
  | { readonly kind: 'version' }

/** Options that every command has. */
const COMMON: Readonly<Record<string, OptionRule>> = { help: {} }

/** Reads a command line. Throws USAGE_INVALID with what would be right. */
export function readArguments(args: readonly string[]): Request {
  if (args.length === 0)
    throw mistake(`needs a command: ${listChoices(Object.keys(COMMANDS))}; see --help`)
  const [first = '', ...rest] = args
  if (first === 'help') return { kind: 'help', usage: findUsage(rest) }
  if (first.startsWith('-')) return readGlobalOption(args)
  return readCommand(args)
}

function readGlobalOption(args: readonly string[]): Request {
  const { options } = readOptions(args, { ...COMMON, version: {} }, '')
  return options['version'] === true ? { kind: 'version' } : { kind: 'help', usage: USAGE }
}

function readCommand(args: readonly string[]): Request {
  const [name = '', ...rest] = args
  const entry = pick(COMMANDS, name, '')
  if (!isGroup(entry)) return readCall(entry, name, rest)
  const [inner, ...others] = rest
  if (inner === '--help' || inner === '-h') return { kind: 'help', usage: entry.usage }
  const isOwn = inner === undefined || inner.startsWith('-')
  if (isOwn && entry.own !== undefined) return readCall(entry.own, name, rest)
  if (inner === undefined || inner.startsWith('-')) {
    throw mistake(
      `${name} needs a command: ${listChoices(Object.keys(entry.commands))}; see ${name} --help`,
    )
  }
  return readCall(pick(entry.commands, inner, `${name} `), `${name} ${inner}`, others)
}

function readCall(command: Command, name: string, args: readonly string[]): Request {
  const rules = { ...command.options, ...COMMON }
  const { options } = readOptions(args, rules, `${name}: `, command)
  if (options['help'] === true) return { kind: 'help', usage: command.usage }
  for (const [option, rule] of Object.entries(command.options)) {
    if (rule.required === true && options[option] === undefined) {
      throw mistake(`${name}: needs --${option} ${rule.takes ?? ''}; see ${name} --help`)
    }
  }
  const { operand } = command
  if (operand !== undefined && options[operand] === undefined) {
    throw mistake(`${name}: needs ${operand}; see ${name} --help`)
  }
  return { kind: 'run', command, values: options }
}

function findUsage(names: readonly string[]): string {
  const [name, inner] = names
  if (name === undefined) return USAGE
  const entry = pick(COMMANDS, name, '')
  if (inner === undefined) return entry.usage
  if (!isGroup(entry)) throw mistake(`help: ${name} has no commands of its own; see ${name} --help`)
  return pick(entry.commands, inner, `${name} `).usage
}

function pick<T>(table: Readonly<Record<string, T>>, name: string, prefix: string): T {
  const found = Object.hasOwn(table, name) ? table[name] : undefined
  if (found !== undefined) return found
  const nearest = findNearest(name, Object.keys(table))
  const hint =
    nearest === undefined
      ? `the commands are ${listChoices(Object.keys(table))}`
      : `did you mean ${prefix}${nearest}`
  throw mistake(`${prefix}${JSON.stringify(name)} is not a command; ${hint}`)
}

/** Options by node:util, in its lenient mode, so that the messages are ours. */
function readOptions(
  args: readonly string[],
  rules: Readonly<Record<string, OptionRule>>,
  prefix: string,
  { operand, operandRepeats = false }: Pick<Command, 'operand' | 'operandRepeats'> = {},
) {
  const types = Object.entries(rules).map(([name, { takes }]) => {
    const type = takes === undefined ? ('boolean' as const) : ('string' as const)
    return [name, name === 'help' ? { type, short: 'h' } : { type }] as const
  })
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(types),
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const options: Record<string, string | true> = {}
  for (const token of tokens) {
    if (token.kind === 'positional') {
      if (operand === undefined || (Object.hasOwn(options, operand) && !operandRepeats))
        throw mistake(`${prefix}${JSON.stringify(token.value)} is one argument too many`)
      options[operand] = join(options[operand], token.value)
    }
    if (token.kind !== 'option') continue
    const isRepeatable = Object.hasOwn(rules, token.name) && rules[token.name]?.repeats === true
    if (Object.hasOwn(options, token.name) && !isRepeatable)
      throw mistake(`${prefix}${token.rawName} is given twice`)
    options[token.name] = join(options[token.name], readOption(token, rules, prefix))
  }
  return { options }
}

/** Several values of one name are one text, so that nobody else need know of lists. */
function join(known: string | true | undefined, value: string | true): string | true {
  return typeof known === 'string' && value !== true ? known + SEPARATOR + value : value
}

interface OptionToken {
  readonly name: string
  readonly rawName: string
  readonly value: string | undefined
  readonly inlineValue: boolean | undefined
}

function readOption(
  token: OptionToken,
  rules: Readonly<Record<string, OptionRule>>,
  prefix: string,
): string | true {
  const rule = Object.hasOwn(rules, token.name) ? rules[token.name] : undefined
  if (rule === undefined)
    throw mistake(`${prefix}${token.rawName} is not an option; ${suggestOption(token.name, rules)}`)
  if (rule.takes === undefined) {
    if (token.value !== undefined) throw mistake(`${prefix}${token.rawName} takes no value`)
    return true
  }
  const looksLikeOption = token.inlineValue !== true && token.value?.startsWith('-') === true
  if (token.value === undefined || token.value === '' || looksLikeOption) {
    throw mistake(`${prefix}${token.rawName} needs a value: ${token.rawName} ${rule.takes}`)
  }
  return token.value
}

function suggestOption(name: string, rules: Readonly<Record<string, OptionRule>>): string {
  const nearest = findNearest(name, Object.keys(rules))
  if (nearest !== undefined) return `did you mean --${nearest}`
  return `the options are ${listChoices(Object.keys(rules).map((known) => `--${known}`))}`
}

function mistake(message: string): BridgeError {
  return new BridgeError('USAGE_INVALID', message)
}
