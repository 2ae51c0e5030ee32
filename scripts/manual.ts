// Generates the manual pages from the declarations from which --help is printed: one for the program, one for each command.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { COMMANDS } from '../src/commands/table.ts'
import type { Command } from '../src/commands/cli/command.ts'
import { isGroup, loadAll } from '../src/commands/cli/command-table.ts'
import { groupOptions, type HelpRow } from '../src/commands/cli/help.ts'
import { VERSION } from './distribution.ts'

const PROGRAM = 'transit-bridge'
const EXIT_CODES = '0 success, 1 failure, 2 wrong usage or configuration.'

/** Manual pages of section 1 by file name, such as `transit-bridge-kms.1`. */
export async function makeManual(): Promise<ReadonlyMap<string, string>> {
  const summaries = collectSummaries()
  const commands = await loadAll(COMMANDS)
  const pages = commands.map((command): readonly [string, string] => [
    `${pageName(command.name)}.1`,
    formatCommand(command, summaries.get(command.name) ?? ''),
  ])
  return new Map([[`${PROGRAM}.1`, formatProgram(summaries)], ...pages])
}

/** Writes the pages into a folder such as /usr/share/man/man1. */
export async function writeManual(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of await makeManual()) writeFileSync(join(folder, name), text)
}

function collectSummaries(): ReadonlyMap<string, string> {
  const rows = Object.entries(COMMANDS).flatMap(([name, entry]): [string, string][] =>
    isGroup(entry)
      ? [
          ...(entry.own === undefined ? [] : [[name, entry.summary] as [string, string]]),
          ...Object.entries(entry.commands).map(([inner, { summary }]): [string, string] => [
            `${name} ${inner}`,
            summary,
          ]),
        ]
      : [[name, entry.summary]],
  )
  return new Map(rows)
}

function pageName(command: string): string {
  return `${PROGRAM}-${command.replaceAll(' ', '-')}`
}

function formatProgram(summaries: ReadonlyMap<string, string>): string {
  const rows = [...summaries].map(([name, help]) => ({ name, help: withPage(name, help) }))
  return joinPage([
    ...formatHead(
      PROGRAM,
      'key management for Kubernetes with the Transit engine of Vault or OpenBao',
    ),
    '.SH SYNOPSIS',
    ...formatExample(`${PROGRAM} COMMAND [OPTIONS]\n${PROGRAM} help COMMAND`),
    '.SH COMMANDS',
    ...rows.flatMap(formatRow),
    '.SH EXIT STATUS',
    escapeText(EXIT_CODES),
  ])
}

function withPage(name: string, help: string): string {
  return `${help} See ${pageName(name)}(1).`
}

function formatCommand({ parts }: Command, summary: string): string {
  const { name, usage, description, options, exitCodes, examples } = parts
  const sections = [...groupOptions(options)].flatMap(([group, rows]) => [
    `.SH ${group.toUpperCase()}`,
    ...rows.flatMap(formatRow),
  ])
  const start = `${PROGRAM} ${name}`
  return joinPage([
    ...formatHead(pageName(name), lowerFirst(summary)),
    '.SH SYNOPSIS',
    ...formatExample(usage.map((line) => `${start} ${line}`.trimEnd()).join('\n')),
    '.SH DESCRIPTION',
    ...formatText(description),
    ...sections,
    ...(exitCodes === undefined ? [] : ['.SH EXIT STATUS', escapeText(exitCodes)]),
    ...(examples.length === 0 ? [] : ['.SH EXAMPLES', ...formatExample(examples.join('\n'))]),
    '.SH SEE ALSO',
    `.BR ${escapeText(PROGRAM)} (1)`,
  ])
}

function formatHead(page: string, summary: string): readonly string[] {
  return [
    `.TH "${page.toUpperCase()}" 1 "" "${PROGRAM} ${VERSION}" "User Commands"`,
    '.SH NAME',
    `${escapeText(page)} \\- ${escapeText(summary.replace(/\.$/, ''))}`,
    // Neither justified nor hyphenated: options and file names stay whole.
    '.ad l',
    '.nh',
  ]
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1)
}

function formatRow({ name, help }: HelpRow): readonly string[] {
  return ['.TP', `.B ${escapeText(name)}`, escapeText(help)]
}

/** Paragraphs are filled; lines that are indented in the help stay as they are. */
function formatText(text: string): readonly string[] {
  return text
    .trim()
    .split(/\n{2,}/)
    .flatMap((paragraph) =>
      /^\s/m.test(paragraph)
        ? formatExample(paragraph)
        : ['.PP', escapeText(paragraph.replaceAll(/\s*\n\s*/g, ' '))],
    )
}

function formatExample(text: string): readonly string[] {
  return ['.PP', '.nf', ...text.split('\n').map(escapeText), '.fi']
}

/** A line of text without meaning for roff: groff_char(7) for `-` and `\`, groff(7) for a leading `.` or `'`. */
function escapeText(text: string): string {
  const escaped = text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll('`', '\\(ga')
    .replaceAll("'", '\\(aq')
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped
}

function joinPage(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`
}
