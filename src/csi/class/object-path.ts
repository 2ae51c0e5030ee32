/** Limits of the driver's AtomicWriter (pkg/util/fileutil/atomic_writer.go, validatePath). */
const LONGEST_PATH = 4096
const LONGEST_ELEMENT = 255
/** No limit of the driver's, but nobody needs more. */
const DEEPEST = 32
/** What `/<version>` may add where a path becomes a folder. */
const LONGEST_VERSION = 12

/** What is wrong with the path of a file in a volume: it reads on from its name. Undefined: nothing. */
export function findPathFault(path: string): string | undefined {
  if (path === '') return 'is empty; write the name of a file, such as keys/signing.pem'
  if (!path.isWellFormed() || /\p{Cc}/u.test(path))
    return 'has a control character in it; use printable characters'
  if (path.startsWith('/'))
    return 'is absolute; write it relative to the volume, without the first /'
  if (Buffer.byteLength(path) > LONGEST_PATH - LONGEST_VERSION)
    return `is longer than ${String(LONGEST_PATH - LONGEST_VERSION)} bytes`
  const elements = path.split('/')
  if (elements.includes('..')) return 'has .. in it; a file cannot be outside of the volume'
  if (elements[0]?.startsWith('..') === true)
    return 'begins with ..; such names are used by the driver itself'
  if (elements.includes('.') || elements.includes(''))
    return 'is not clean; take away . and // and a / at the end'
  if (elements.length > DEEPEST) return `has more than ${String(DEEPEST)} names in it`
  if (elements.some((element) => Buffer.byteLength(element) > LONGEST_ELEMENT))
    return `has a name in it that is longer than ${String(LONGEST_ELEMENT)} bytes`
  return undefined
}

/** Something of a class that takes a place in the volume. */
export interface PathClaim {
  readonly index: number
  readonly path: string
}

export interface PathClash extends PathClaim {
  /** Reads on from the path of the claim. */
  readonly message: string
}

/** Paths that cannot be in one volume: the same one twice, or a file where another needs a folder. */
export function findPathClashes(claims: readonly PathClaim[]): readonly PathClash[] {
  const owners = new Map<string, number>()
  const clashes: PathClash[] = []
  for (const { index, path } of claims) {
    const owner = owners.get(path)
    if (owner === undefined) owners.set(path, index)
    else clashes.push({ index, path, message: `is the path of objects[${String(owner)}], too` })
  }
  for (const { index, path } of claims) {
    const owner = parentsOf(path)
      .map((parent) => owners.get(parent))
      .find((found) => found !== undefined)
    if (owner === undefined) continue
    const message = `lies under the path of objects[${String(owner)}]; a path is a file or a folder, not both`
    clashes.push({ index, path, message })
  }
  return clashes
}

function parentsOf(path: string): string[] {
  const elements = path.split('/')
  return elements.slice(1).map((_element, index) => elements.slice(0, index + 1).join('/'))
}
