import type { Fault, Path } from '../yaml/fault.ts'
import { findPaths } from './key-index.ts'
import { findNearest, listChoices } from '../text/nearest.ts'
import { findEntries, readAt } from './shape.ts'

/** Explains an unknown key: which one was meant, or where it belongs. */
export function explainUnknownKey(
  parent: Path,
  key: string,
  value: unknown,
): Pick<Fault, 'message' | 'hint'> {
  const known = [...findEntries(parent, value).keys()]
  const meant = guess(key, known)
  if (meant !== undefined)
    return {
      message: 'is not a known key',
      hint: `did you mean ${meant}?${explainFile(key, meant)}`,
    }
  const paths = findPaths(key)
  if (paths.length > 0)
    return { message: 'is not valid here', hint: `move it to ${listChoices(paths)}` }
  return { message: 'is not a known key', hint: `known keys: ${known.join(', ')}` }
}

/** The known keys of a mapping for which it contains misspelled ones. */
export function findMeantKey(parent: Path, value: unknown): ReadonlySet<string> {
  const known = [...findEntries(parent, value).keys()]
  const given = readAt(value, parent)
  if (typeof given !== 'object' || given === null) return new Set()
  const unknown = Object.keys(given).filter((key) => !known.includes(key))
  return new Set(unknown.map((key) => guess(key, known)).filter((meant) => meant !== undefined))
}

/** A name that is a known key elsewhere is not a misspelling. */
function guess(key: string, known: readonly string[]): string | undefined {
  return findPaths(key).length > 0 ? undefined : findNearest(key, known)
}

function explainFile(key: string, meant: string): string {
  if (!meant.endsWith('File') || /file$/i.test(key)) return ''
  return ' Its value is the path of a file, not its content'
}
