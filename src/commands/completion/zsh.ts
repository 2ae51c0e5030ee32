import {
  quoteForShell,
  type CompletionOption,
  type CompletionPlace,
  type CompletionWords,
} from './completion-words.ts'

/** The completion script for zsh. */
export function formatZsh(places: CompletionWords): string {
  return `#compdef transit-bridge
# Completion of transit-bridge for zsh; made by: transit-bridge completion zsh

_transit_bridge() {
  local place='' word
  local -a commands options
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$place $word" in
${places
  .filter(({ path }) => path !== '')
  .map(formatStep)
  .join('\n')}
    esac
  done
  case "$place" in
${places.map(formatPlace).join('\n')}
  esac
  if [[ \${words[CURRENT]} != -* && \${#commands} -gt 0 ]]; then
    _describe 'command' commands
  else
    _arguments -S "\${options[@]}" '*:file:_files'
  fi
}

if [[ $funcstack[1] == _transit_bridge ]]; then
  _transit_bridge "$@"
else
  compdef _transit_bridge transit-bridge
fi`
}

function formatStep({ path }: CompletionPlace): string {
  const parts = path.split(' ')
  const from = parts.slice(0, -1).join(' ')
  return `      ${quoteForShell(`${from} ${parts.at(-1) ?? ''}`)}) place=${quoteForShell(path)} ;;`
}

function formatPlace({ path, commands, options }: CompletionPlace): string {
  const words = commands.map(({ word, help }) => quoteForShell(`${word}:${help}`))
  return `    ${quoteForShell(path)})
      commands=(${words.join(' ')})
      options=(${options.map(formatOption).join(' ')}) ;;`
}

/** As _arguments reads it: colons and brackets in the help are escaped. */
function formatOption({ name, help, takesValue, choices }: CompletionOption): string {
  const meaning = help.replaceAll(/[[\]:\\]/g, (character) => `\\${character}`)
  const values = choices.length > 0 ? `:value:(${choices.join(' ')})` : ':value:_files'
  return quoteForShell(`*${name}[${meaning}]${takesValue ? values : ''}`)
}
