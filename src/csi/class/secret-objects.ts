import type { Path } from '../../yaml/fault.ts'
import { findNearest } from '../../text/nearest.ts'
import { listAt, textAt } from './manifest-source.ts'
import { DEEPEST, LONGEST_PATH } from './object-path.ts'
import { isFolder, type ClassObject } from './object-types.ts'
import type { SecretProviderClass } from './secret-provider-class.ts'

/** Why the driver would not create a Secret of `spec.secretObjects`. */
export interface SecretFault {
  readonly path: Path
  readonly label: string
  readonly message: string
  readonly hint: string
}

/** The keys that the driver can fill in a Secret of type kubernetes.io/tls (1.6.0, pkg/util/secretutil/secret.go). */
const TLS_KEYS: readonly string[] = ['tls.crt', 'tls.key']

/**
 * Finds what the driver reports only at run time, in its log and in an event: a Secret without a name, a type or data, and
 * data without a key, with a key that the driver cannot fill, or from an unknown file.
 */
export function findSecretFaults(manifest: unknown, { objects }: SecretProviderClass) {
  const paths = new MountedPaths(objects)
  return listAt(manifest, ['spec', 'secretObjects']).flatMap((secret, index) => {
    const place = ['spec', 'secretObjects', index]
    const label = `secretObjects[${String(index)}]`
    const missing = (['secretName', 'type'] as const).filter((name) => isEmpty(secret, name))
    const data = listAt(secret, ['data'])
    return [
      ...missing.map((name) => missingFault(place, label, name, HINTS[name])),
      ...(data.length === 0 ? [missingFault(place, label, 'data', HINTS.data)] : []),
      ...data.flatMap((item, position) =>
        findDataFaults(item, textAt(secret, ['type']), paths).map(({ field, message, hint }) => ({
          path: [...place, 'data', position, field],
          label: `${label}.data[${String(position)}].${field}`,
          message,
          hint,
        })),
      ),
    ] satisfies SecretFault[]
  })
}

const HINTS = {
  secretName: 'write the name of the Secret',
  type: 'write the type of the Secret, such as Opaque',
  data: 'list objectName and key of each file',
} as const

function missingFault(place: Path, label: string, name: string, hint: string): SecretFault {
  return { path: [...place, name], label: `${label}.${name}`, message: 'is missing', hint }
}

interface DataFault {
  readonly field: 'objectName' | 'key'
  readonly message: string
  readonly hint: string
}

function findDataFaults(
  item: unknown,
  type: string | undefined,
  paths: MountedPaths,
): readonly DataFault[] {
  // The driver removes white space around both.
  const name = textAt(item, ['objectName'])?.trim() ?? ''
  const key = textAt(item, ['key'])?.trim() ?? ''
  const faults: DataFault[] = []
  if (name === '')
    faults.push({ field: 'objectName', message: 'is missing', hint: 'write the path of an object' })
  else if (!paths.has(name))
    faults.push({
      field: 'objectName',
      message: 'is not the path of an object',
      hint: paths.hintFor(name),
    })
  if (key === '')
    faults.push({ field: 'key', message: 'is missing', hint: 'write the key in the Secret' })
  else if (type === 'kubernetes.io/tls' && !TLS_KEYS.includes(key))
    faults.push({
      field: 'key',
      message: 'is not a key that the driver can fill in a Secret of type kubernetes.io/tls',
      hint: `use ${TLS_KEYS.join(' or ')}`,
    })
  return faults
}

function isEmpty(secret: unknown, field: string): boolean {
  return (textAt(secret, [field]) ?? '') === ''
}

/** The paths of a class, which are looked up once for each item of `data`. */
class MountedPaths {
  readonly #files = new Set<string>()
  readonly #folders = new Set<string>()
  readonly #namesWithoutPath = new Set<string | undefined>()

  constructor(objects: readonly ClassObject[]) {
    for (const object of objects) {
      if (!object.isMounted) this.#namesWithoutPath.add(object.name)
      else (isFolder(object) ? this.#folders : this.#files).add(object.path)
    }
  }

  has(name: string): boolean {
    if (name.length > LONGEST_PATH) return false
    const elements = name.split('/', DEEPEST + 1)
    const folders = elements.slice(1).map((_last, index) => elements.slice(0, index + 1).join('/'))
    return this.#files.has(name) || folders.some((path) => this.#folders.has(path))
  }

  hintFor(name: string): string {
    if (this.#namesWithoutPath.has(name)) return 'the object with this name has no path; add one'
    const nearest = name.length > LONGEST_PATH ? undefined : findNearest(name, this.#files)
    return nearest === undefined ? 'use the path of an object' : `did you mean ${nearest}?`
  }
}
