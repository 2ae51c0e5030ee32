import { listChoices } from '../text/nearest.ts'
import { configShape, type Entries, type Entry, type Shape } from './shape.ts'

/** The paths of known keys with this name, such as `transit.mount`. */
export function findPaths(key: string): readonly string[] {
  pathsByKey ??= indexPaths()
  return pathsByKey.get(key) ?? []
}

type PathIndex = Map<string, string[]>

let pathsByKey: PathIndex | undefined

function indexPaths(): PathIndex {
  const index: PathIndex = new Map()
  addShape(index, configShape, '')
  return index
}

function addShape(index: PathIndex, shape: Shape, parent: string): void {
  if (shape.kind === 'mapping') addEntries(index, shape.entries, parent)
  if (shape.kind === 'list') addShape(index, shape.item, `${parent}[]`)
  if (shape.kind !== 'variant') return
  for (const [key, { options, entry }] of mergeOptions(shape.options)) {
    const only =
      options.length < shape.options.size ? ` with ${shape.key} ${listChoices(options)}` : ''
    addKey(index, key, entry, parent, only)
  }
}

function addEntries(index: PathIndex, entries: Entries, parent: string): void {
  for (const [key, entry] of entries) addKey(index, key, entry, parent, '')
}

function addKey(index: PathIndex, key: string, entry: Entry, parent: string, only: string): void {
  const path = parent === '' ? key : `${parent}.${key}`
  index.set(key, [...(index.get(key) ?? []), `${path}${only}`])
  addShape(index, entry.shape, path)
}

/** A key of a variant, and the options that have it. */
export interface MergedEntry {
  readonly options: readonly string[]
  readonly entry: Entry
}

/** All keys of a variant, each once, as the first option that has it describes it. */
export function mergeOptions(
  options: ReadonlyMap<string, Entries>,
): ReadonlyMap<string, MergedEntry> {
  const merged = new Map<string, MergedEntry>()
  for (const [option, entries] of options) {
    for (const [key, entry] of entries) {
      const known = merged.get(key)
      merged.set(key, {
        options: [...(known?.options ?? []), option],
        entry: known?.entry ?? entry,
      })
    }
  }
  return merged
}
