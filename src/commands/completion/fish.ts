import type { CompletionOption, CompletionPlace, CompletionWords } from './completion-words.ts'

/** The completion script for fish. */
export function formatFish(places: CompletionWords): string {
  return `# Completion of transit-bridge for fish; made by: transit-bridge completion fish

function __transit_bridge_place
  set -l place ''
  for word in (commandline -opc)[2..-1]
    switch "$place $word"
${places
  .filter(({ path }) => path !== '')
  .map(formatStep)
  .join('\n')}
    end
  end
  echo -n $place
end

${places.flatMap(formatPlace).join('\n')}`
}

function formatStep({ path }: CompletionPlace): string {
  const parts = path.split(' ')
  const from = parts.slice(0, -1).join(' ')
  return `      case ${quote(`${from} ${parts.at(-1) ?? ''}`)}; set place ${quote(path)}`
}

function formatPlace({ path, commands, options }: CompletionPlace): readonly string[] {
  const condition = `-n ${quote(`test "$(__transit_bridge_place)" = "${path}"`)}`
  const start = `complete -c transit-bridge ${condition}`
  return [
    ...commands.map(({ word, help }) => `${start} -f -a ${quote(word)} -d ${quote(help)}`),
    ...options.map((option) => `${start} ${formatOption(option)}`),
  ]
}

function formatOption({ name, help, takesValue, choices }: CompletionOption): string {
  const words = [`-l ${quote(name.slice(2))}`, `-d ${quote(help)}`]
  if (takesValue) words.push(choices.length > 0 ? '-x' : '-r')
  if (choices.length > 0) words.push(`-a ${quote(choices.join(' '))}`)
  return words.join(' ')
}

/** fish knows \\' and \\\\ inside single quotes, and no other escape. */
function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
