import { distance } from 'fastest-levenshtein'

/**
 * The known name that was most likely meant: one that differs only in case and separators, one that starts with this name
 * (`tokenFile` for `token`), or one that differs in a few letters. Undefined if there is none.
 */
export function findNearest(name: string, known: Iterable<string>): string | undefined {
  const wanted = simplify(name)
  const allowed = Math.max(1, Math.floor(wanted.length / 3))
  let best: string | undefined
  let bestDistance = allowed + 1
  for (const candidate of known) {
    const found = distanceBetween(wanted, simplify(candidate))
    if (found < bestDistance) {
      best = candidate
      bestDistance = found
    }
  }
  return best
}

function distanceBetween(wanted: string, candidate: string): number {
  if (wanted === candidate) return 0
  if (wanted.length >= 2 && candidate.startsWith(wanted)) return 0.5
  return distance(wanted, candidate)
}

function simplify(name: string): string {
  return name.toLowerCase().replaceAll(/[-_ ]/g, '')
}

/** The end of a message about a value that is none of the choices: the one that was meant, or all of them. */
export function suggestChoice(value: unknown, choices: readonly string[]): string {
  const nearest = typeof value === 'string' ? findNearest(value, choices) : undefined
  if (nearest !== undefined) return `did you mean ${nearest}?`
  return choices.length === 1
    ? `the only supported value is ${choices.join('')}`
    : `use ${listChoices(choices)}`
}

/** Joins choices as in "a, b or c". */
export function listChoices(choices: readonly string[]): string {
  if (choices.length < 2) return choices.join('')
  return `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`
}
