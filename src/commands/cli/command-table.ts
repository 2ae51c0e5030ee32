import type { Command } from './command.ts'

/** A command by name. It is loaded when it is needed, so that no command waits for the code of another. */
export interface CommandEntry {
  /** One sentence for the list of commands. */
  readonly summary: string
  readonly load: () => Promise<Command>
}

/** A name that other names follow, such as `config`. */
export interface GroupEntry {
  readonly summary: string
  /** The command that the name alone runs; by default it needs another name. */
  readonly own?: () => Promise<Command>
  readonly commands: Readonly<Record<string, CommandEntry>>
}

export type CommandTable = Readonly<Record<string, CommandEntry | GroupEntry>>

export function isGroup(entry: CommandEntry | GroupEntry): entry is GroupEntry {
  return 'commands' in entry
}

/** Loads every command, with those of a group after the group itself. */
export async function loadAll(table: CommandTable): Promise<readonly Command[]> {
  const loaders = Object.values(table).flatMap((entry) =>
    isGroup(entry)
      ? [...(entry.own === undefined ? [] : [entry.own]), ...loadersOf(entry)]
      : [entry.load],
  )
  return Promise.all(loaders.map((load) => load()))
}

function loadersOf({ commands }: GroupEntry) {
  return Object.values(commands).map(({ load }) => load)
}
