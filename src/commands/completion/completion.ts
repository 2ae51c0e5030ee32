import { defineCommand, type Command } from '../cli/command.ts'
import { loadAll, type CommandTable } from '../cli/command-table.ts'
import { usageError, type Option } from '../cli/option.ts'
import { EXIT_OK, print } from '../cli/terminal.ts'
import { formatBash } from './bash.ts'
import { describeWords, type CompletionWords } from './completion-words.ts'
import { formatFish } from './fish.ts'
import { formatZsh } from './zsh.ts'

const SHELLS: Readonly<Record<string, (words: CompletionWords) => string>> = {
  bash: formatBash,
  zsh: formatZsh,
  fish: formatFish,
}

const options: Readonly<Record<string, Option<unknown>>> = {}

/** `table` contains this command itself, so the table is passed in instead of imported. */
export function makeCompletionCommand(table: CommandTable): Command {
  return defineCommand({
    name: 'completion',
    usage: ['bash', 'zsh', 'fish'],
    description: `
Print the completion script for a shell. It completes commands, options, and the
values of options that accept only a few words.

    bash    source <(transit-bridge completion bash)
    zsh     transit-bridge completion zsh > "\${fpath[1]}/_transit-bridge"
    fish    transit-bridge completion fish \\
              > ~/.config/fish/completions/transit-bridge.fish`,
    options,
    operand: { name: 'SHELL', choices: Object.keys(SHELLS) },
    exitCodes: '0 printed, 2 wrong usage.',
    examples: ['$ source <(transit-bridge completion bash)'],
    run: async ({ operands: [shell = ''] }, terminal) => {
      const format = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined
      if (format === undefined)
        throw usageError(`the shell must be bash, zsh or fish, not ${JSON.stringify(shell)}`)
      print(terminal, format(describeWords(table, await loadAll(table))))
      return EXIT_OK
    },
  })
}
