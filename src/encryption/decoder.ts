import { formatPath, type Path } from '../yaml/fault.ts'
import { findNearest } from '../text/nearest.ts'
import { nameType } from '../yaml/type-words.ts'

/** A problem at a path of the document; the line is added later. */
export interface Problem {
  readonly at: Path
  readonly message: string
  readonly hint?: string | undefined
}

type Fields = Readonly<Record<string, unknown>>

/**
 * Decodes a document as Go's strict JSON decoder does: unknown fields are rejected, null and absent are the same, types must
 * match. Continues after a problem, so that all problems are found at once.
 */
export class Decoder {
  readonly problems: Problem[] = []

  /** The fields of an object; undefined for null, absent, and anything else. */
  object(value: unknown, at: Path, known: readonly string[]): Fields | undefined {
    if (value === null || value === undefined) return undefined
    if (typeof value !== 'object' || Array.isArray(value)) {
      this.#refuseType(value, at, 'a mapping')
      return undefined
    }
    for (const name of Object.keys(value)) {
      if (!known.includes(name)) this.#refuseField([...at, name], name, known)
    }
    return value as Fields
  }

  /** Empty for null, absent, and anything else. */
  list(value: unknown, at: Path): readonly unknown[] {
    if (value === null || value === undefined) return []
    if (Array.isArray(value)) return value
    this.#refuseType(value, at, 'a list')
    return []
  }

  /** Empty for null and absent; undefined, and a problem, for anything else. */
  text(value: unknown, at: Path): string | undefined {
    if (value === null || value === undefined) return ''
    if (typeof value === 'string') return value
    this.#refuseType(value, at, 'text')
    return undefined
  }

  /** A whole number of 32 bits, or undefined. */
  int32(value: unknown, at: Path): number | undefined {
    if (value === null || value === undefined) return undefined
    if (typeof value === 'number' && (value | 0) === value) return value
    this.#refuseType(value, at, 'a whole number')
    return undefined
  }

  #refuseType(value: unknown, at: Path, expected: string): void {
    this.problems.push({ at, message: `must be ${expected}, not ${nameType(value)}` })
  }

  #refuseField(at: Path, name: string, known: readonly string[]): void {
    const meant = findNearest(name, known)
    const hint =
      meant === undefined ? `known fields: ${known.join(', ')}` : `did you mean ${meant}?`
    this.problems.push({ at, message: 'is not a known field', hint })
  }
}

/** `resources[0].providers[1].kms`, for a message about another place. */
export function namePlace(at: Path): string {
  return formatPath(at)
}
