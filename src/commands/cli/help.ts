import type { OptionTable } from './option.ts'
import { optionName } from './option.ts'

const WIDTH = 80
const PROGRAM = 'transit-bridge'
const MAX_NAME_LENGTH = 28

/** The parts of a command that its help shows. */
export interface HelpParts {
  readonly name: string
  readonly usage: readonly string[]
  readonly description: string
  readonly options: OptionTable
  readonly exitCodes?: string | undefined
  readonly examples: readonly string[]
}

/** The help of a command, without a final newline. */
export function formatHelp(parts: HelpParts): string {
  const { name, usage, description, options, exitCodes, examples } = parts
  const start = `    ${PROGRAM} ${name}`
  const sections = [
    ['Usage:', ...usage.flatMap((line) => wrap(`${start} ${line}`.trimEnd(), 8))].join('\n'),
    formatText(description),
    ...formatOptions(options),
  ]
  if (exitCodes !== undefined) sections.push(wrap(`Exit code: ${exitCodes}`, 0).join('\n'))
  if (examples.length > 0) sections.push(formatExamples(examples))
  return sections.join('\n\n')
}

/** A name and its meaning: an option, a command. */
export interface HelpRow {
  readonly name: string
  readonly help: string
}

/** Rows under a heading, with the texts in one column. */
export function formatRows(heading: string, rows: readonly HelpRow[]): string {
  const widest = Math.max(...rows.map(({ name }) => name.length))
  const column = 4 + Math.min(widest, MAX_NAME_LENGTH) + 2
  const lines = rows.flatMap(({ name, help }) => {
    const texts = wrap(`${' '.repeat(column)}${help}`, column)
    const [first = '', ...others] = texts
    const start = `    ${name}`
    return start.length + 2 > column
      ? [start, ...texts]
      : [start.padEnd(column) + first.slice(column), ...others]
  })
  return [heading, ...lines].join('\n')
}

function formatOptions(options: OptionTable): readonly string[] {
  return [...groupOptions(options)].map(([group, rows]) => formatRows(`${group}:`, rows))
}

/** The options as they are typed, under their headings. */
export function groupOptions(options: OptionTable): ReadonlyMap<string, readonly HelpRow[]> {
  const groups = new Map<string, HelpRow[]>([['Options', []]])
  for (const [key, { takes, help, group = 'Options' }] of Object.entries(options)) {
    const name = key === 'help' ? '-h, --help' : `--${optionName(key)}`
    const rows = groups.get(group) ?? []
    rows.push({ name: takes === undefined ? name : `${name} ${takes}`, help })
    groups.set(group, rows)
  }
  return groups
}

function formatExamples(examples: readonly string[]): string {
  const heading = examples.length === 1 ? 'Example:' : 'Examples:'
  return [heading, ...examples.map((line) => `    ${line.replaceAll('\n', '\n    ')}`)].join('\n')
}

/** Wraps paragraphs; indented lines stay as they are. */
function formatText(text: string): string {
  const paragraphs = text.trim().split(/\n{2,}/)
  return paragraphs
    .map((paragraph) =>
      /^\s/m.test(paragraph) ? paragraph : wrap(unfold(paragraph), 0).join('\n'),
    )
    .join('\n\n')
}

function unfold(paragraph: string): string {
  return paragraph.replaceAll(/\s*\n\s*/g, ' ')
}

/** Lines of at most {@link WIDTH} characters; those after the first begin with `indent` spaces. */
function wrap(text: string, indent: number): readonly string[] {
  const lines: string[] = []
  let rest = text
  while (rest.length > WIDTH) {
    const cut = rest.lastIndexOf(' ', WIDTH)
    if (cut <= indent) break
    lines.push(rest.slice(0, cut).trimEnd())
    rest = ' '.repeat(indent) + rest.slice(cut + 1)
  }
  return [...lines, rest]
}
