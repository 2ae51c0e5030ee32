/** Characters that end a simple command of a shell. */
const SHELL_END = /^(?:[0-9]*[<>]|[|;&])/

/**
 * The flags of kube-apiserver in the words of a container, by name, as kube-apiserver parses them (pflag; component-base:
 * cli/flag/flags.go, WordSepNormalizeFunc). Undefined if no word is, or contains, its name. `isAll` means that the image
 * starts it, so that all words are flags.
 */
export function findFlags(
  words: readonly string[],
  isAll: boolean,
): ReadonlyMap<string, string> | undefined {
  const index = words.findIndex((word) => /(?:^|\/)kube-apiserver$/.test(word))
  if (index >= 0) return parseFlags(words.slice(index + 1))
  const script = words.find((word) => /(?:^|[\s/])kube-apiserver\s/.test(word))
  if (script !== undefined) return parseFlags(splitCommand(script))
  return isAll ? parseFlags(words) : undefined
}

function parseFlags(words: readonly string[]): ReadonlyMap<string, string> {
  const flags = new Map<string, string>()
  for (let index = 0; index < words.length && words[index] !== '--'; index += 1) {
    const [, name, value] = /^--([^=]+)(?:=([^]*))?$/.exec(words[index] ?? '') ?? []
    if (name === undefined) continue
    const next = words[index + 1]
    const hasNext = value === undefined && next !== undefined && takesNext(name, next)
    if (hasNext) index += 1
    flags.set(name.replaceAll('_', '-'), value ?? (hasNext ? next : 'true'))
  }
  return flags
}

/** A text flag takes the next word, even if that starts with a dash; a boolean never does, and a word alone is an error. */
function takesNext(name: string, next: string): boolean {
  return name.replaceAll('_', '-') === 'encryption-provider-config' || !next.startsWith('-')
}

/** The words after kube-apiserver in a script such as `exec kube-apiserver --a=b >>/var/log/kube-apiserver.log 2>&1`. */
function splitCommand(script: string): readonly string[] {
  const [, rest = ''] =
    /(?:^|[\s/])kube-apiserver\s([^]*)$/.exec(script.replaceAll('\\\n', ' ')) ?? []
  const words = rest.match(/(?:"[^"]*"|'[^']*'|[^\s"';|&]|[;|&])+/g) ?? []
  const end = words.findIndex((word) => SHELL_END.test(word))
  return (end < 0 ? words : words.slice(0, end)).map((word) => word.replaceAll(/["']/g, ''))
}

/** As Go reads a boolean flag (strconv.ParseBool). */
export function isTrue(value: string | undefined): boolean {
  return value !== undefined && ['1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)
}
