import { stringify } from 'yaml'

import { INSERTIONS } from './odd-values.ts'
import type { Random } from './random.ts'

/** A value as one of the texts in which people and programs write it. */
export function write(random: Random, value: unknown): string {
  switch (random.below(6)) {
    case 0:
      return JSON.stringify(value)
    case 1:
      return `${JSON.stringify(value, null, random.pick([1, 2, '\t']))}\n`
    case 2:
      return `---\n${stringify(value)}`
    case 3:
      return `--- ${JSON.stringify(value)}\n`
    default:
      return stringify(value, { indentSeq: random.chance(50), singleQuote: random.chance(50) })
  }
}

/** Changes a few places of a text. */
export function edit(random: Random, text: string): string {
  return random
    .some(2, () => random.below(6))
    .reduce((before, kind) => apply(random, before, kind), text)
}

function apply(random: Random, text: string, kind: number): string {
  const at = random.below(text.length + 1)
  const lines = text.split('\n')
  const line = random.below(lines.length)
  switch (kind) {
    case 0:
      return text.slice(0, at) + text.slice(at + 1)
    case 1:
      return [...lines.slice(0, line + 1), ...lines.slice(line)].join('\n')
    case 2:
      return lines.toSpliced(line, 1).join('\n')
    case 3:
      return lines.with(line, random.pick([' ', '  ', '\t']) + (lines[line] ?? '')).join('\n')
    default:
      return text.slice(0, at) + random.pick(INSERTIONS) + text.slice(at)
  }
}

/** Changes that keep what a text means, or that editors and tools make. */
export function dress(random: Random, text: string): string {
  const dresses: readonly ((plain: string) => string)[] = [
    (plain) => plain,
    (plain) => `\ufeff${plain}`,
    (plain) => plain.replaceAll('\n', '\r\n'),
    (plain) => `# comment\n\n${plain}`,
    (plain) => `%YAML 1.1\n---\n${plain}`,
    (plain) => `%YAML 1.2\n---\n${plain}`,
    (plain) => `${plain}\n---\n`,
    (plain) => `${plain}\n---\nkind: Other\n`,
    (plain) => `${plain}\n...\n`,
    (plain) => `${plain}\n---\n]: broken\n`,
    (plain) => plain.replaceAll(/: ([\w/.-]+)$/gm, ': $1 # remark'),
    (plain) => plain.replaceAll(/: ([\w-]+)$/gm, ':\t$1'),
    (plain) => plain.replaceAll(/: ([\w-]+)$/gm, ': !!str $1'),
    (plain) => plain.replaceAll(/: ([\w-]+)$/gm, ': "$1"'),
    (plain) => plain.replaceAll(/^( *)- /gm, '$1-   '),
    (plain) => plain.trimEnd(),
  ]
  return random.chance(50) ? text : random.pick(dresses)(text)
}
