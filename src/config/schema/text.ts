import * as v from 'valibot'

/**
 * Names of keys and roles as Vault's paths take them: letters, digits and `_`, with `.` and `-` inside. Vault
 * sdk/framework GenericNameRegex, the same in OpenBao.
 */
const VAULT_NAME = /^\w([\w.-]*\w)?$/
/** Segments of a mount; `.` and `..` would be another path, so a segment of dots alone is not one. */
const MOUNT = /^(?!\.+(\/|$))[\w.-]+(\/(?!\.+(\/|$))[\w.-]+)*$/
/** Namespaces are sent as a header: printable, no space. Vault prints them with a slash at the end. */
const NAMESPACE = /^[!-.0-~]+(\/[!-.0-~]+)*\/?$/
/** No control characters, so that a path can be printed on one line. */
// eslint-disable-next-line no-control-regex -- that is what is kept out
const ABSOLUTE_FILE = /^\/[^\u0000-\u001f\u007f]*[^/\u0000-\u001f\u007f]$/
const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/
const PRINTABLE = /^[!-~]+$/
const CLUSTER_ID = /^[!-~]{1,128}$/

/** A key that takes the name of something in Vault. */
export function vaultName(meaning: string) {
  return v.pipe(
    v.string(),
    v.regex(
      VAULT_NAME,
      'is not a name that Vault takes; use letters, digits, _, and inside . and -',
    ),
    v.description(meaning),
    v.metadata({ kind: 'name' }),
  )
}

/** A key that takes the place of a secrets engine. */
export function mountPath(meaning: string) {
  return v.pipe(
    v.string(),
    v.check((text) => !/^\/|\/$/.test(text), 'has a slash at an end; take it away'),
    v.regex(MOUNT, 'is not a mount; use letters, digits, _, . and -, with / between segments'),
    v.description(meaning),
    v.metadata({ kind: 'mount' }),
  )
}

/** A key that takes the place of an auth method. */
export function authMount(meaning: string) {
  return v.pipe(
    v.string(),
    v.check((text) => !/^\/?auth\//.test(text), 'begins with auth/; leave that away'),
    v.check((text) => !/^\/|\/$/.test(text), 'has a slash at an end; take it away'),
    v.regex(MOUNT, 'is not a mount; use letters, digits, _, . and -, with / between segments'),
    v.description(meaning),
    v.metadata({ kind: 'mount' }),
  )
}

/** A key that takes a namespace of Vault Enterprise or OpenBao; it is given on without a slash at the end. */
export function namespace(meaning: string) {
  return v.pipe(
    v.string(),
    v.regex(
      NAMESPACE,
      'is not a namespace; write it like team-a/apps, without spaces or a slash in front',
    ),
    v.description(meaning),
    v.metadata({ kind: 'namespace' }),
    v.transform((text) => text.replace(/\/$/, '')),
  )
}

/** A key that takes the path of a file. Relative paths depend on who starts the program, so they are refused. */
export function filePath(meaning: string) {
  return v.pipe(
    v.string(),
    v.regex(ABSOLUTE_FILE, 'is not the path of a file; write it in full, from / on'),
    v.description(meaning),
    v.metadata({ kind: 'file' }),
  )
}

/** A key that takes a host name, without a port. */
export function hostName(meaning: string) {
  return v.pipe(
    v.string(),
    v.regex(HOST_NAME, 'is not a host name; write it without a scheme and without a port'),
    v.description(meaning),
    v.metadata({ kind: 'host name' }),
  )
}

/** A key that takes what a token claims: text without spaces. */
export function claim(meaning: string) {
  return v.pipe(
    v.string(),
    v.regex(
      PRINTABLE,
      'is empty or has characters that a claim does not; use printable ASCII without spaces',
    ),
    v.description(meaning),
    v.metadata({ kind: 'text' }),
  )
}

/** What names a cluster in key ids and in what is authenticated. */
export function clusterId(meaning: string) {
  return v.pipe(
    v.string(),
    v.regex(
      CLUSTER_ID,
      'is not a cluster id; use 1 to 128 printable ASCII characters without spaces',
    ),
    v.description(`${meaning} 1 to 128 printable ASCII characters without spaces.`),
    v.metadata({ kind: 'text' }),
  )
}
