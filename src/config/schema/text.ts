import * as v from 'valibot'

/**
 * Names of keys and roles in Vault paths: letters, digits, `_`, `.` and `-`, without `.` or `-` at the start or end
 * (GenericNameRegex in sdk/framework of Vault and OpenBao).
 */
const VAULT_NAME = /^\w([\w.-]*\w)?$/
export const VAULT_NAME_FAULT =
  'is not a valid Vault name; use letters, digits, _, . and -, without . or - at the start or end'
/**
 * Segments of a mount; a segment of only dots is rejected, because `.` and `..` would lead to another path. It has no
 * lookahead, which a schema of Helm must not contain.
 */
export const MOUNT = /^\.*[\w-][\w.-]*(\/\.*[\w-][\w.-]*)*$/
/** Namespaces are sent as a header: printable, no space. Vault prints them with a trailing slash. */
export const NAMESPACE = /^[!-.0-~]+(\/[!-.0-~]+)*\/?$/
export const MOUNT_FAULT =
  'is not a valid mount path; use letters, digits, _, . and -, with / between segments'
export const NAMESPACE_FAULT =
  'is not a valid namespace; use the form team-a/apps, without spaces or a leading slash'
/** No control characters, so that a path can be printed on one line. */
// eslint-disable-next-line no-control-regex -- control characters are what it rejects
const ABSOLUTE_FILE = /^\/[^\x00-\x1f\x7f]*[^/\x00-\x1f\x7f]$/
const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/
const PRINTABLE = /^[!-~]+$/
const CLUSTER_ID = /^[!-~]{1,128}$/

/** A key whose value is a name in Vault. */
export function vaultName(meaning: string) {
  return v.pipe(
    v.string(),
    v.regex(VAULT_NAME, VAULT_NAME_FAULT),
    v.description(meaning),
    v.metadata({ kind: 'name' }),
  )
}

const NO_OUTER_SLASH = v.check(
  (text: string) => !/^\/|\/$/.test(text),
  'starts or ends with a slash; remove it',
)
const MOUNT_FORM = v.regex<string, string>(MOUNT, MOUNT_FAULT)

/** A key whose value is the mount path of a secrets engine. */
export function mountPath(meaning: string) {
  return v.pipe(
    v.string(),
    NO_OUTER_SLASH,
    MOUNT_FORM,
    v.description(meaning),
    v.metadata({ kind: 'mount' }),
  )
}

/** A key whose value is the mount path of an auth method. */
export function authMount(meaning: string) {
  return v.pipe(
    v.string(),
    v.check((text) => !/^\/?auth\//.test(text), 'starts with auth/; remove this prefix'),
    NO_OUTER_SLASH,
    MOUNT_FORM,
    v.description(meaning),
    v.metadata({ kind: 'mount' }),
  )
}

/** A key whose value is a namespace of Vault Enterprise or OpenBao. A trailing slash is removed. */
export function namespace(meaning: string) {
  return v.pipe(
    v.string(),
    v.regex(NAMESPACE, NAMESPACE_FAULT),
    v.description(meaning),
    v.metadata({ kind: 'namespace' }),
    v.transform((text) => text.replace(/\/$/, '')),
  )
}

/** Like {@link namespace}. Vault's own name for the root namespace, `root`, becomes the empty text. */
export function engineNamespace(meaning: string) {
  return v.pipe(
    namespace(meaning),
    v.description(meaning),
    v.metadata({ kind: 'namespace' }),
    v.transform((text) => (text === 'root' ? '' : text)),
  )
}

/** A key whose value is the path of a file. Relative paths are rejected: they depend on the working directory. */
export function filePath(meaning: string) {
  return v.pipe(
    v.string(),
    v.regex(
      ABSOLUTE_FILE,
      'is not an absolute path to a file; it must start with / and not end with /',
    ),
    v.description(meaning),
    v.metadata({ kind: 'file' }),
  )
}

/** A key whose value is a host name, without a port. */
export function hostName(meaning: string) {
  return v.pipe(
    v.string(),
    v.regex(HOST_NAME, 'is not a host name; write it without a scheme or port'),
    v.description(meaning),
    v.metadata({ kind: 'host name' }),
  )
}

/** A key whose value is a claim of a token: text without spaces. */
export function claim(meaning: string) {
  return v.pipe(
    v.string(),
    v.regex(
      PRINTABLE,
      'is empty or contains characters that are not allowed; use printable ASCII without spaces',
    ),
    v.description(meaning),
    v.metadata({ kind: 'text' }),
  )
}

/** A key whose value identifies a cluster in key ids and in the associated data. */
export function clusterId(meaning: string) {
  return v.pipe(
    v.string(),
    v.regex(
      CLUSTER_ID,
      'is not a valid cluster id; use 1 to 128 printable ASCII characters without spaces',
    ),
    v.description(`${meaning} 1 to 128 printable ASCII characters without spaces.`),
    v.metadata({ kind: 'text' }),
  )
}
