import { findNearest } from '../../text/nearest.ts'
import { showValue } from '../../yaml/type-words.ts'
import { isComposite, isFolder, type ClassObject, type CompositeObject } from './object-types.ts'

/** Maximum number of unknown names with a suggestion: each is compared with all known names. */
const MAX_SUGGESTIONS = 20
/** A longer name is invalid (OBJECT_NAME), and comparing with one of 250 KiB would hold the event loop for 150 ms. */
const LONGEST_NAME = 63
/** Finding the line of each takes time, and these are enough to start fixing. */
const MAX_FAULTS = 100

/** What is wrong with the names in a class. */
export interface ReferenceFault {
  readonly index: number
  readonly field: string
  /** "is not …; use …" */
  readonly message: string
}

/**
 * Checks the names of objects and the bundles and templates that refer to them.
 * @param objects those without faults
 * @param names all names in the class by index, also those of objects with faults
 */
export function findReferenceFaults(
  objects: readonly ClassObject[],
  names: ReadonlyMap<number, string>,
): readonly ReferenceFault[] {
  const owners = new Map<string, number>()
  const faults: ReferenceFault[] = []
  for (const [index, name] of names) {
    const owner = owners.get(name)
    if (owner === undefined) owners.set(name, index)
    else
      faults.push({
        index,
        field: 'name',
        message: `is also the name of objects[${String(owner)}]`,
      })
  }
  const byIndex = new Map(objects.map((object) => [object.index, object]))
  for (const composite of objects.filter(isComposite)) {
    for (const name of partNames(composite)) {
      const owner = owners.get(name)
      const target = owner === undefined ? undefined : byIndex.get(owner)
      const message =
        owner === undefined
          ? unknownName(name, faults.length < MAX_SUGGESTIONS ? owners : new Map())
          : target && explainTarget(composite, target)
      if (message !== undefined)
        faults.push({ index: composite.index, field: fieldOf(composite), message })
    }
  }
  return faults.slice(0, MAX_FAULTS)
}

/** Finds objects that are neither mounted nor part of another one. Only for a class without other faults. */
export function findUnused(objects: readonly ClassObject[]): readonly ReferenceFault[] {
  const used = new Set(objects.filter(isComposite).flatMap(partNames))
  return objects.flatMap(({ index, isMounted, name = '' }) => {
    if (isMounted || used.has(name)) return []
    const message = `is missing, and no bundle or template uses ${showValue(name)}; add a path, or use the name`
    return [{ index, field: 'path', message }]
  })
}

/** Returns the names that a bundle or template refers to, each once. */
export function partNames(composite: CompositeObject): readonly string[] {
  if (composite.type === 'bundle') return [...new Set(composite.of)]
  return [
    ...new Set(composite.parts.flatMap((part) => (typeof part === 'string' ? [] : part.name))),
  ]
}

function fieldOf({ type }: CompositeObject): string {
  return type === 'bundle' ? 'of' : 'text'
}

function unknownName(name: string, names: ReadonlyMap<string, number>): string {
  const known = [...names.keys()].filter(({ length }) => length <= LONGEST_NAME)
  const nearest = findNearest(name, known)
  const hint = nearest === undefined ? 'write name: in that object' : `did you mean ${nearest}?`
  return `refers to ${showValue(name)}, which is not the name of an object; ${hint}`
}

function explainTarget({ type }: CompositeObject, target: ClassObject): string | undefined {
  if (type === 'bundle' || !isFolder(target)) return undefined
  return `refers to ${showValue(target.name ?? '')}, which has a file for each version; choose one version of it`
}
