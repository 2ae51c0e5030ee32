import { findNearest, listChoices } from '../../text/nearest.ts'
import { parseDuration } from '../../time/duration.ts'
import { BridgeError, type ErrorOptions } from '../../errors.ts'
import { codeOfFileError } from '../../files/system-error.ts'
import { version } from '../../version.ts'

/** An option of a command: its help, and how its text is parsed. */
export interface Option<T> {
  readonly help: string
  /** The name of its value in help: FILE. Absent for a flag, which takes no value. */
  readonly takes?: string
  readonly required?: boolean
  /** Whether its value may be `-`, for standard input. */
  readonly readsInput?: boolean
  /** Whether it may be repeated. */
  readonly repeats?: boolean
  /** The heading in help. By default "Options". */
  readonly group?: string
  /** All values that it accepts, for shell completion. */
  readonly choices?: readonly string[]
  /**
   * Parses what was typed; `given` is empty if the option was omitted. `label` names the option in messages: "--rate".
   * Throws USAGE_INVALID.
   */
  readonly read: (given: readonly string[], label: string) => T
}

/** Options by the camelCase form of their name: `encryptionConfig` is `--encryption-config`. */
export type OptionTable = Readonly<Record<string, Option<unknown>>>

/** What a command receives: the value of each of its options. */
export type ValuesOf<Table extends OptionTable> = {
  readonly [Name in keyof Table]: Table[Name] extends Option<infer Value> ? Value : never
}

/** `encryptionConfig` as it is typed: `encryption-config`. */
export function optionName(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** A mistake on the command line. The name of the command is added where it is reported. */
export class UsageError extends BridgeError {
  constructor(message: string, options?: ErrorOptions) {
    super('USAGE_INVALID', message, options)
  }
}

export function usageError(message: string, options?: ErrorOptions): UsageError {
  return new UsageError(message, options)
}

/** For a file that an option names: wrong usage, unless the host cannot read any file now. */
export function unreadableFile(message: string, cause: unknown): BridgeError {
  const code = codeOfFileError(cause, 'USAGE_INVALID')
  return code === 'USAGE_INVALID'
    ? usageError(message, { cause })
    : new BridgeError(code, message, { cause })
}

/** The same options under a separate heading in help. */
export function grouped<Table extends OptionTable>(group: string, table: Table): Table {
  return Object.fromEntries(
    Object.entries(table).map(([key, option]) => [key, { ...option, group }]),
  ) as unknown as Table
}

export function flag(help: string): Option<boolean> {
  return { help, read: (given) => given.length > 0 }
}

/** Any text, such as a path or a name. */
export function text(takes: string, help: string): Option<string | undefined> {
  return { takes, help, read: ([value]) => value }
}

/** A file that is read as text, or standard input. */
export function inputFile(takes: string, help: string): Option<string | undefined> {
  return { ...text(takes, `${help} Use - for standard input.`), readsInput: true }
}

export function textOr(takes: string, usual: string, help: string): Option<string> {
  return { takes, help: withDefault(help, usual), read: ([value]) => value ?? usual }
}

export function requiredText(takes: string, help: string): Option<string> {
  return { takes, help, required: true, read: ([value]) => value ?? '' }
}

/** An option that may be repeated. */
export function repeated(takes: string, help: string): Option<readonly string[]> {
  return { takes, help, repeats: true, read: (given) => given }
}

/** Values separated by commas; undefined if the option is not given. */
export function list(takes: string, help: string): Option<readonly string[] | undefined> {
  return { takes, help, read: ([value]) => (value === undefined ? undefined : splitList(value)) }
}

export function splitList(value: string): readonly string[] {
  const items = value.split(',').map((item) => item.trim())
  return items.filter((item) => item !== '')
}

/** One of a few words. */
export function choice<const Word extends string>(
  takes: string,
  words: readonly Word[],
  usual: Word,
  help: string,
): Option<Word> {
  return {
    ...requiredChoice(takes, words, withDefault(help, usual)),
    required: false,
    read: ([value], label) => (value === undefined ? usual : readWord(value, words, label)),
  }
}

export function requiredChoice<const Word extends string>(
  takes: string,
  words: readonly Word[],
  help: string,
): Option<Word> {
  return {
    takes,
    help,
    required: true,
    choices: words,
    read: ([value = ''], label) => readWord(value, words, label),
  }
}

function readWord<Word extends string>(value: string, words: readonly Word[], label: string): Word {
  const found = words.find((word) => word === value)
  if (found !== undefined) return found
  const nearest = findNearest(value, words)
  const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`
  throw usageError(`${label} must be ${listChoices(words)}, not ${JSON.stringify(value)}${hint}`)
}

interface DurationLimits {
  /** In milliseconds. */
  readonly least?: number
}

/** Milliseconds; undefined if the option is not given. */
export function duration(help: string, limits: DurationLimits = {}): Option<number | undefined> {
  return {
    takes: 'DURATION',
    help,
    read: ([value], label) =>
      value === undefined ? undefined : readDuration(value, limits, label),
  }
}

/** Milliseconds. */
export function durationOr(
  usual: string,
  help: string,
  limits: DurationLimits = {},
): Option<number> {
  return {
    takes: 'DURATION',
    help: withDefault(help, usual),
    read: ([value = usual], label) => readDuration(value, limits, label),
  }
}

function readDuration(value: string, { least = 1 }: DurationLimits, label: string): number {
  const milliseconds = parseDuration(value)
  if (milliseconds !== undefined && milliseconds >= least) return milliseconds
  const bound = least > 1 ? ` of at least ${String(least / 1000)}s` : ''
  throw usageError(
    `${label} must be a duration${bound} such as 30s or 10m, not ${JSON.stringify(value)}`,
  )
}

/** A whole number from 1; undefined if the option is not given. */
export function count(takes: string, most: number, help: string): Option<number | undefined> {
  return {
    takes,
    help,
    read: ([value], label) => {
      if (value === undefined) return undefined
      const number = /^[1-9][0-9]*$/.test(value) ? Number(value) : NaN
      if (number <= most) return number
      throw usageError(
        `${label} must be a whole number from 1 to ${String(most)}, not ${JSON.stringify(value)}`,
      )
    },
  }
}

export function countOr(takes: string, most: number, usual: number, help: string): Option<number> {
  const option = count(takes, most, withDefault(help, String(usual)))
  return { ...option, read: (given, label) => option.read(given, label) ?? usual }
}

/** The full path of a file or folder, on this host or another. */
export function fullPathOr(takes: string, usual: string, help: string): Option<string> {
  return {
    takes,
    help: withDefault(help, usual),
    read: ([value = usual], label) => requireFullPath(value, label),
  }
}

export function requireFullPath(value: string, label: string): string {
  if (value.startsWith('/') && !/\p{Cc}/u.test(value)) return value
  throw usageError(`${label} must be a full path, starting with /`)
}

/** The name of a container image. */
export function requireImage(value: string, label: string): string {
  if (/^[\w./:@-]+$/.test(value)) return value
  throw usageError(`${label} must be the name of an image, such as transit-bridge:${version}`)
}

function withDefault(help: string, usual: string): string {
  return `${help} Default: ${usual}`
}
