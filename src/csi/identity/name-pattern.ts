/** A pattern that contains `*`, split once. */
interface Wildcard {
  readonly first: string
  readonly middle: readonly string[]
  readonly last: string
  /** A shorter name does not match. */
  readonly minLength: number
}

/**
 * A list of patterns in which `*` matches any text, prepared for many names. A pattern is matched in one pass over the name,
 * without backtracking.
 */
export class NamePatterns {
  readonly #exact: ReadonlySet<string>
  readonly #wildcards: readonly Wildcard[]

  constructor(patterns: readonly string[]) {
    const isWildcard = (pattern: string) => pattern.includes('*')
    this.#exact = new Set(patterns.filter((pattern) => !isWildcard(pattern)))
    const canonical = patterns.filter(isWildcard).map((pattern) => pattern.replace(/\*+/g, '*'))
    this.#wildcards = [...new Set(canonical)].map(split)
  }

  /** How many patterns `matches` may have to try. */
  get tries(): number {
    return this.#wildcards.length
  }

  /** Whether the list contains the name itself. */
  names(name: string): boolean {
    return this.#exact.has(name)
  }

  matches(name: string): boolean {
    return this.#exact.has(name) || this.#wildcards.some((wildcard) => fits(wildcard, name))
  }
}

function split(pattern: string): Wildcard {
  const parts = pattern.split('*')
  const [first = ''] = parts
  const last = parts.at(-1) ?? ''
  const minLength = pattern.length - parts.length + 1
  return { first, middle: parts.slice(1, -1), last, minLength }
}

function fits({ first, middle, last, minLength }: Wildcard, name: string): boolean {
  if (name.length < minLength || !name.startsWith(first) || !name.endsWith(last)) return false
  const end = name.length - last.length
  let at = first.length
  for (const part of middle) {
    const found = name.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}
