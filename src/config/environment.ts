import { formatPath, type Path } from '../yaml/fault.ts'
import type { Environment } from '../environment.ts'
import type { LocatedFault } from './issues.ts'

/** `$${` is a literal `${`; `${NAME}` is a variable; any other `${` is an error. */
const REFERENCE = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{/g

/** A value with its variables replaced, and where they were. */
export interface Substitution {
  readonly value: unknown
  /** By path, the written text of every value with a variable; the content of the variable must not be shown. */
  readonly written: ReadonlyMap<string, string>
  readonly faults: readonly LocatedFault[]
}

/**
 * Replaces the variables in every text of a value. It works on the parsed value, not on the YAML text, so that a variable
 * with any characters is still one value. Keys are not changed.
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
  message: 'contains a ${ that does not start a variable',
  hint: 'write ${NAME} with letters, digits and _, or $${ for a literal ${',
}

function explainUnset(name: string) {
  return {
    message: `needs the environment variable ${name}, which is not set`,
    hint: 'set it, or write $${ for the characters themselves',
  }
}
