import { formatPath, type Path } from '../yaml/fault.ts'
import type { Environment } from '../environment.ts'
import type { LocatedFault } from './issues.ts'

/** `$${` stands for `${`; `${NAME}` for a variable; any other `${` is a mistake. */
const REFERENCE = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{/g

/** A value with its variables put in, and what is known about them. */
export interface Substitution {
  readonly value: unknown
  /** By path, the text as written of every value that holds a variable; what the variable holds is not to be shown. */
  readonly written: ReadonlyMap<string, string>
  readonly faults: readonly LocatedFault[]
}

/**
 * Puts the environment into every text of a value. It works on what YAML has read, not on its source, so that
 * a variable can hold any character and still is one value. Keys are left alone.
 */
export function substituteEnvironment(value: unknown, environment: Environment): Substitution {
  const written = new Map<string, string>()
  const faults: LocatedFault[] = []

  const walk = (part: unknown, at: Path): unknown => {
    if (typeof part === 'string') return replace(part, at)
    if (Array.isArray(part)) return part.map((item, index) => walk(item, [...at, index]))
    if (typeof part !== 'object' || part === null) return part
    return Object.fromEntries(
      Object.entries(part).map(([key, item]) => [key, walk(item, [...at, key])]),
    )
  }

  const replace = (text: string, at: Path): string =>
    text.replaceAll(REFERENCE, (reference, name: string | undefined) => {
      if (reference === '$${') return '${'
      const path = formatPath(at)
      written.set(path, text)
      if (name === undefined) {
        faults.push({ at, path, ...MALFORMED })
        return ''
      }
      const found = environment[name]
      if (found === undefined) faults.push({ at, path, ...explainUnset(name) })
      return found ?? ''
    })

  return { value: walk(value, []), written, faults }
}

const MALFORMED = {
  message: 'has a ${ that begins no variable',
  hint: 'write ${NAME} with letters, digits and _, or $${ for the characters themselves',
}

function explainUnset(name: string) {
  return {
    message: `needs the environment variable ${name}, which is not set`,
    hint: 'set it, or write $${ for the characters themselves',
  }
}
