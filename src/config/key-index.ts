import { listChoices } from '../text/nearest.ts'
import { configShape, type Entries, type Entry, type Shape } from './shape.ts'

/** The places where a key of this name is known, such as `transit.mount`. */
export function findPlaces(key: string): readonly string[] {
  placesByKey ??= indexPlaces()
  return placesByKey.get(key) ?? []
}

type PlaceIndex = Map<string, string[]>

let placesByKey: PlaceIndex | undefined

function indexPlaces(): PlaceIndex {
  const index: PlaceIndex = new Map()
  addShape(index, configShape, '')
  return index
}

function addShape(index: PlaceIndex, shape: Shape, place: string): void {
  if (shape.kind === 'mapping') addEntries(index, shape.entries, place)
  if (shape.kind === 'list') addShape(index, shape.item, `${place}[]`)
  if (shape.kind !== 'variant') return
  for (const [key, { options, entry }] of mergeOptions(shape.options)) {
    const only =
      options.length < shape.options.size ? ` with ${shape.key} ${listChoices(options)}` : ''
    addKey(index, key, entry, place, only)
  }
}

function addEntries(index: PlaceIndex, entries: Entries, place: string): void {
  for (const [key, entry] of entries) addKey(index, key, entry, place, '')
}

function addKey(index: PlaceIndex, key: string, entry: Entry, place: string, only: string): void {
  const path = place === '' ? key : `${place}.${key}`
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
