import type { Fault, Path } from '../yaml/fault.ts'
import { findPlaces } from './key-index.ts'
import { findNearest, listChoices } from '../text/nearest.ts'
import { findEntries, readAt } from './shape.ts'

/** Says of a key that is not known here which one was meant, or where it belongs. */
export function explainUnknownKey(
  parent: Path,
  key: string,
  value: unknown,
): Pick<Fault, 'message' | 'hint'> {
  const known = [...findEntries(parent, value).keys()]
  const meant = guess(key, known)
  if (meant !== undefined)
    return { message: 'is not known', hint: `did you mean ${meant}${explainFile(key, meant)}` }
  const places = findPlaces(key)
  if (places.length > 0)
    return { message: 'is not known here', hint: `it belongs to ${listChoices(places)}` }
  return { message: 'is not known', hint: `known here: ${known.join(', ')}` }
}

/** Keys of a place that are misspelt there: the names that were meant. */
export function findMeantKey(parent: Path, value: unknown): ReadonlySet<string> {
  const known = [...findEntries(parent, value).keys()]
  const given = readAt(value, parent)
  if (typeof given !== 'object' || given === null) return new Set()
  const unknown = Object.keys(given).filter((key) => !known.includes(key))
  return new Set(unknown.map((key) => guess(key, known)).filter((meant) => meant !== undefined))
}

/** A name that is known elsewhere to the letter was hardly a slip of the fingers here. */
function guess(key: string, known: readonly string[]): string | undefined {
  return findPlaces(key).length > 0 ? undefined : findNearest(key, known)
}

function explainFile(key: string, meant: string): string {
  if (!meant.endsWith('File') || /file$/i.test(key)) return ''
  return '; it takes the path of a file, never the content'
}
