/** What a request to Transit does with a key. */
export interface Operation {
  /** Without slashes at its ends. */
  readonly mount: string
  readonly key: string
  /** The operation as its path names it, such as `decrypt`; for the key itself `read`, `create`, `list` or `delete`. */
  readonly action: string
  /** Whether the path is not one of Transit's that this program knows; `key` is then the rest of the path. */
  readonly isUnknown: boolean
}

/** A request as the audit file describes it. */
export interface RequestedPath {
  readonly path: string
  /** Vault's kind of request: create, read, update, delete or list. */
  readonly operation: string
  /** `transit/`; missing in files of Vault before 1.9. */
  readonly mountPoint?: string | undefined
}

/** Where the name of the key is in paths of Transit: `export/TYPE/NAME/VERSION`. By default it follows the action. */
const KEY_POSITION: Readonly<Record<string, number | undefined>> = {
  datakey: 2,
  datakeys: 2,
  export: 2,
  // byok-export/DESTINATION/SOURCE: the source leaves Vault.
  'byok-export': 2,
}

/** Paths that follow `keys/NAME/`. */
const KEY_ACTIONS: ReadonlySet<string> = new Set([
  'rotate',
  'config',
  'trim',
  'import',
  'import_version',
  'csr',
  'set-certificate',
  'soft-delete',
  'soft-delete-restore',
])

/** Operations that return nothing secret: no plaintext, no key material, and no ciphertext that another key opens. */
const HARMLESS: ReadonlySet<string> = new Set([
  ...KEY_ACTIONS,
  'read',
  'create',
  'list',
  'delete',
  'encrypt',
  'sign',
  'verify',
  'hmac',
  'cmac',
  'restore',
])

/** Operations that this program knows and that return something secret. */
const REVEALING: ReadonlySet<string> = new Set([
  'decrypt',
  'rewrap',
  'datakey',
  'datakeys',
  'export',
  'byok-export',
  'backup',
])

/** Paths of the mount that concern no key. */
const KEYLESS: ReadonlySet<string> = new Set([
  'random',
  'hash',
  'cache-config',
  'config',
  'wrapping_key',
])

const OPERATIONS: Readonly<Record<string, string | undefined>> = {
  read: 'read',
  delete: 'delete',
  list: 'list',
  create: 'create',
  update: 'create',
}

/** Whether an operation may return what was encrypted, or the key. Anything unknown may. */
export function isRevealing({
  action,
  isUnknown,
}: Pick<Operation, 'action' | 'isUnknown'>): boolean {
  return isUnknown || !HARMLESS.has(action)
}

/** Undefined if the path concerns no key. The mount's type must be Transit or unknown. */
export function readOperation(request: RequestedPath): Operation | undefined {
  const { path, mountPoint } = request
  const start = mountPoint === undefined ? guessMount(path) : lengthOfMount(path, mountPoint)
  if (start === undefined) return undefined
  const mount = path.slice(0, start).replace(/\/$/, '')
  const parts = path
    .slice(start)
    .split('/')
    .filter((part) => part !== '')
  return readParts(mount, parts, request.operation)
}

function readParts(
  mount: string,
  parts: readonly string[],
  operation: string,
): Operation | undefined {
  const [action, ...rest] = parts
  if (action === undefined || KEYLESS.has(action)) return undefined
  if (action === 'keys') return rest.length === 0 ? undefined : readKeyPath(mount, rest, operation)
  const isKnown = HARMLESS.has(action) || REVEALING.has(action)
  const key = isKnown ? parts[KEY_POSITION[action] ?? 1] : undefined
  return { mount, action, key: key ?? rest.join('/'), isUnknown: key === undefined }
}

/** `keys/NAME` or `keys/NAME/ACTION`. */
function readKeyPath(mount: string, rest: readonly string[], operation: string): Operation {
  const [key = '', action, ...more] = rest
  const done = action ?? OPERATIONS[operation]
  if (done === undefined || more.length > 0)
    return { mount, key, action: rest.slice(1).join('/') || operation, isUnknown: true }
  return { mount, key, action: done, isUnknown: action !== undefined && !KEY_ACTIONS.has(action) }
}

function lengthOfMount(path: string, mountPoint: string): number | undefined {
  return mountPoint !== '' && path.startsWith(mountPoint) ? mountPoint.length : guessMount(path)
}

/** Without the mount point in the file, the first word that is an operation of Transit ends the mount. */
function guessMount(path: string): number | undefined {
  const parts = path.split('/')
  let start = parts[0] === undefined ? 0 : parts[0].length + 1
  for (const part of parts.slice(1)) {
    if (part === 'keys' || REVEALING.has(part) || HARMLESS.has(part)) return start
    start += part.length + 1
  }
  return undefined
}
