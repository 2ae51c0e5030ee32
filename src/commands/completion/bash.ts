import { quoteForShell, type CompletionPlace, type CompletionWords } from './completion-words.ts'

/** The completion script for bash 4 and newer. It needs no other package. */
export function formatBash(places: CompletionWords): string {
  return `# Completion of transit-bridge for bash; made by: transit-bridge completion bash

_transit_bridge() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local place='' words='' values='' index
  for ((index = 1; index < COMP_CWORD; index++)); do
    case "$place \${COMP_WORDS[index]}" in
${places
  .filter(({ path }) => path !== '')
  .map(formatStep)
  .join('\n')}
    esac
  done
  case "$place|$previous" in
${places.flatMap(formatValues).join('\n')}
    *) values=none ;;
  esac
  case "$place" in
${places.map(formatPlace).join('\n')}
  esac
  if [[ $values == file ]]; then
    COMPREPLY=($(compgen -f -- "$current"))
  elif [[ $values != none ]]; then
    COMPREPLY=($(compgen -W "$values" -- "$current"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    [[ \${#COMPREPLY[@]} == 0 && $current != -* ]] && COMPREPLY=($(compgen -f -- "$current"))
  fi
}

complete -o filenames -F _transit_bridge transit-bridge`
}

/** Where a word leads: from "config" by "check" to "config check". */
function formatStep({ path }: CompletionPlace): string {
  const parts = path.split(' ')
  const from = parts.slice(0, -1).join(' ')
  return `      ${quoteForShell(`${from} ${parts.at(-1) ?? ''}`)}) place=${quoteForShell(path)} ;;`
}

function formatValues({ path, options }: CompletionPlace): readonly string[] {
  return options
    .filter(({ takesValue }) => takesValue)
    .map(({ name, choices }) => {
      const values = choices.length > 0 ? choices.join(' ') : 'file'
      return `    ${quoteForShell(`${path}|${name}`)}) values=${quoteForShell(values)} ;;`
    })
}

function formatPlace({ path, commands, options }: CompletionPlace): string {
  const words = [...commands.map(({ word }) => word), ...options.map(({ name }) => name)]
  return `    ${quoteForShell(path)}) words=${quoteForShell(words.join(' '))} ;;`
}
