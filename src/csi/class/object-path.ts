import { UNPRINTABLE } from '../../text/quoted.ts'

/** Limits of the driver's AtomicWriter (pkg/util/fileutil/atomic_writer.go, validatePath). */
export const LONGEST_PATH = 4096
const LONGEST_ELEMENT = 255
/** Our own limit; the driver has none. */
export const DEEPEST = 32
/** Maximum length of the `/<version>` that follows if the path is a folder. */
const LONGEST_VERSION = 12

/** Returns what is wrong with the path of a file ("is absolute; …"), or undefined. */
export function findPathFault(path: string): string | undefined {
  if (path === '') return 'is empty; use the name of a file, such as keys/signing.pem'
  if (!path.isWellFormed() || UNPRINTABLE.test(path))
    return 'contains a control character; use printable characters'
  if (path.startsWith('/'))
    return 'is absolute; use a path relative to the volume, without the leading /'
  if (Buffer.byteLength(path) > LONGEST_PATH - LONGEST_VERSION)
    return `is longer than ${String(LONGEST_PATH - LONGEST_VERSION)} bytes`
  const elements = path.split('/')
  if (elements.includes('..')) return 'contains ..; a file must be inside the volume'
  if (elements[0]?.startsWith('..') === true)
    return 'starts with ..; the driver uses such names itself'
  if (elements.includes('.') || elements.includes(''))
    return 'is not normalized; remove . and // and a trailing /'
  if (elements.length > DEEPEST) return `has more than ${String(DEEPEST)} elements`
  if (elements.some((element) => Buffer.byteLength(element) > LONGEST_ELEMENT))
    return `has an element that is longer than ${String(LONGEST_ELEMENT)} bytes`
  return undefined
}

/** An object that occupies a path in the volume. */
export interface PathClaim {
  readonly index: number
  readonly path: string
}

export interface PathClash extends PathClaim {
  /** What is wrong with the path: "is also the path of …". */
  readonly message: string
}

/** Finds paths that conflict: duplicates, and a file where another object needs a folder. */
export function findPathClashes(claims: readonly PathClaim[]): readonly PathClash[] {
  const owners = new Map<string, number>()
  const clashes: PathClash[] = []
  for (const { index, path } of claims) {
    const owner = owners.get(path)
    if (owner === undefined) owners.set(path, index)
    else clashes.push({ index, path, message: `is also the path of objects[${String(owner)}]` })
  }
  for (const { index, path } of claims) {
    const owner = parentsOf(path)
      .map((parent) => owners.get(parent))
      .find((found) => found !== undefined)
    if (owner === undefined) continue
    const message = `is inside the path of objects[${String(owner)}]; a path is a file or a folder, not both`
    clashes.push({ index, path, message })
  }
  return clashes
}

function parentsOf(path: string): string[] {
  const elements = path.split('/')
  return elements.slice(1).map((_element, index) => elements.slice(0, index + 1).join('/'))
}
