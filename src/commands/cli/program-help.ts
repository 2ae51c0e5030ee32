import { isGroup, type CommandTable, type GroupEntry } from './command-table.ts'
import { formatRows, type HelpRow } from './help.ts'

const OPTIONS: readonly HelpRow[] = [
  { name: '-h, --help', help: 'Print this help, or the help of a command.' },
  { name: '--version', help: 'Print the version.' },
]

/** What `transit-bridge --help` prints. */
export function formatProgramHelp(table: CommandTable): string {
  const rows = Object.entries(table).flatMap(([name, entry]): readonly HelpRow[] => [
    ...(isGroup(entry) && entry.own === undefined ? [] : [{ name, help: entry.summary }]),
    ...(isGroup(entry) ? rowsOf(name, entry) : []),
  ])
  return [
    'Usage:\n    transit-bridge COMMAND [OPTIONS]\n    transit-bridge help COMMAND',
    'Use Transit of HashiCorp Vault or OpenBao as the KMS of a Kubernetes cluster.',
    formatRows('Commands:', [
      ...rows,
      { name: 'help', help: 'Print this help, or the help of a command.' },
    ]),
    formatRows('Options:', OPTIONS),
    'Exit code: 0 success, 1 failure, 2 wrong usage or configuration.',
    'Examples:\n    $ transit-bridge config check --config /etc/transit-bridge/config.yaml\n    $ transit-bridge kms --config /etc/transit-bridge/config.yaml',
  ].join('\n\n')
}

/**
 * What the help of a group prints: the help of the command with the group's name, if there is one, and the list of its
 * commands.
 */
export async function formatGroupHelp(name: string, group: GroupEntry): Promise<string> {
  const commands = formatRows('Commands:', rowsOf('', group))
  if (group.own !== undefined) return `${(await group.own()).help}\n\n${commands}`
  return [
    `Usage:\n    transit-bridge ${name} COMMAND [OPTIONS]`,
    group.summary,
    commands,
    formatRows('Options:', [
      { name: '-h, --help', help: 'Print this help, or the help of a command.' },
    ]),
  ].join('\n\n')
}

function rowsOf(name: string, { commands }: GroupEntry): readonly HelpRow[] {
  return Object.entries(commands).map(([inner, { summary }]) => ({
    name: `${name} ${inner}`.trim(),
    help: summary,
  }))
}
